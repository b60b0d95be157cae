"""What `apar doctor` looks at: whether this installation, a model and a server can decode in parallel threads."""
