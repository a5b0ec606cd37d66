std = "max"
max_line_length = 100
exclude_files = { "build", ".venv", "tests/node_modules" }
files["tests/lua"] = { globals = { "io" } }
