"""The shell's way in: parse, call, print."""
