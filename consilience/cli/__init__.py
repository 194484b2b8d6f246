"""The ``consilience`` command: thin wrappers that read arguments, call the packages below, and print."""
