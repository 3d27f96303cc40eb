# What CI runs is `.ci/run`; these are its parts, for a person at work.

# Everything CI runs
check:
    .ci/run

# All tests, with what they need installed
test:
    tests/run

# Print the generated files anew: docs/status.md, docs/cli, docs/crash-points.md, api/openapi.yaml, snapshots
gen:
    UPDATE_EXPECT=1 cargo nextest run --workspace -E 'test(/generated|is_the_one_in_the_docs|the_committed_document|the_table|openapi|snapshot|help/)'

# The main job
demo:
    cargo run --release -- demo
