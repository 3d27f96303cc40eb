// Tells ao what this agent does. Written by ao, which writes it anew; it says nothing outside a session of ao's.
import { spawn } from "node:child_process";

const AO = "@AO@";
const LONG = 20_000; // ms: what waits longer for its next try waits for its quota
const LATE = 5_000; // ms: within which a turn is over that an error has ended

export const ao = async () => {
  if (!process.env.AO_SESSION_ID) return {};
  const children = new Set(); // sessions of its own helpers
  const said = new Map(); // message id -> its texts, by part
  const last = new Map(); // session id -> the id of the last message of the agent's
  const called = new Map(); // session id -> what it is called
  const tools = new Map(); // call id -> its tool
  const failed = new Map(); // session id -> what its turn is going to end with
  let queue = Promise.resolve();

  // One after the other: a later word must not overtake an earlier one.
  const tell = (event, session, payload) => {
    if (!session || children.has(session)) return;
    queue = queue.then(
      () =>
        new Promise((done) => {
          const hook = spawn(AO, ["hooks", "opencode", event], { stdio: ["pipe", "ignore", "ignore"] });
          hook.on("error", done);
          hook.on("close", done);
          hook.stdin.on("error", () => {});
          hook.stdin.end(JSON.stringify({ session_id: session, ...payload }));
        }),
    );
  };
  const over = (session) => {
    const { over, ...error } = failed.get(session);
    clearTimeout(over);
    failed.delete(session);
    tell("error", session, error);
  };
  const words = (session) => [...(said.get(last.get(session)) ?? new Map()).values()].join("").trim();

  return {
    event: async ({ event }) => {
      const of = event.properties ?? {};
      switch (event.type) {
        case "session.created":
          if (of.info?.parentID) children.add(of.info.id);
          else tell("created", of.info?.id, {});
          break;
        case "session.updated": {
          const { id, title } = of.info ?? {};
          // What it is called before it was called anything.
          if (!title || title.startsWith("New session - ") || called.get(id) === title) break;
          called.set(id, title);
          tell("named", id, { summary: title });
          break;
        }
        case "message.updated":
          if (of.info?.role === "assistant") last.set(of.info.sessionID, of.info.id);
          break;
        case "message.part.updated": {
          const part = of.part ?? {};
          if (part.type !== "text" || part.synthetic) break;
          if (said.size > 50) said.delete(said.keys().next().value);
          if (!said.has(part.messageID)) said.set(part.messageID, new Map());
          said.get(part.messageID).set(part.id, part.text ?? "");
          break;
        }
        case "session.status": {
          const status = of.status ?? {};
          if (status.type === "idle") {
            const error = failed.get(of.sessionID);
            if (!error) tell("idle", of.sessionID, { message: words(of.sessionID) });
            // It says so with the error, and again when its turn is over. What is asked of it in between would be taken and never done.
            else if (error.over) over(of.sessionID);
            else error.over = setTimeout(over, LATE, of.sessionID);
          }
          if (status.type === "retry" && status.next > Date.now() + LONG)
            tell("wall", of.sessionID, { error: "wall", said: status.message, next: new Date(status.next).toISOString() });
          else if (status.type === "retry") tell("retry", of.sessionID, {});
          else if (status.type === "busy") tell("busy", of.sessionID, {});
          break;
        }
        case "permission.asked":
        case "question.asked":
          tell("asked", of.sessionID, { tool: tools.get(of.tool?.callID) });
          break;
        case "permission.replied":
        case "question.replied":
        case "question.rejected":
          tell("answered", of.sessionID, {});
          break;
        case "session.error": {
          const error = of.error ?? {};
          // An interrupt is none.
          if (error.name !== "MessageAbortedError")
            failed.set(of.sessionID, { ...failed.get(of.sessionID), error: error.name, said: error.data?.message });
          break;
        }
      }
    },
    "tool.execute.before": async ({ tool, sessionID, callID }) => {
      tools.set(callID, tool);
      tell("tool", sessionID, { tool });
    },
    "tool.execute.after": async ({ tool, sessionID, callID }) => {
      tools.delete(callID);
      tell("tool-over", sessionID, { tool });
    },
    "chat.message": async (input, output) => {
      const texts = (output.parts ?? []).filter((part) => part.type === "text" && !part.synthetic);
      tell("message", input.sessionID, { prompt: texts.map((part) => part.text).join("\n") });
    },
  };
};
