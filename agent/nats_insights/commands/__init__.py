"""The commands, a module each: `options` adds its flags, `run` does it and has the exit code."""
