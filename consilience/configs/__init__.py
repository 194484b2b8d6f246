"""YAML files that a user copies: `consilience train demo` runs demo.yaml, and so on."""
