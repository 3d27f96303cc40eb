#!/usr/bin/env node
// Compares GraphQL documents with GitHub's public schema. Reads `{"name": "document", ...}` from standard input, writes what is
// wrong with which to standard error, and fails where anything is. Its packages: `npm ci` beside this file.
import { readFileSync } from "node:fs";
import { schema } from "@octokit/graphql-schema";
import { buildSchema, parse, validate } from "graphql";

// The published text defines two fields twice, which says nothing about ours.
const github = buildSchema(schema.idl, { assumeValidSDL: true });
const documents = Object.entries(JSON.parse(readFileSync(0, "utf8")));
const wrong = [];
for (const [name, text] of documents) {
    try {
        const errors = validate(github, parse(text), undefined, { maxErrors: 1000 });
        wrong.push(...errors.map((error) => `${name}: ${error.message}`));
    } catch (error) {
        wrong.push(`${name}: ${error.message}`);
    }
}
if (documents.length === 0) {
    wrong.push("there is no document");
}
for (const line of wrong) {
    console.error(line);
}
console.log(`${documents.length} documents, ${wrong.length} errors`);
process.exit(wrong.length === 0 ? 0 : 1);
