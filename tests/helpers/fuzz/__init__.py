"""Bad uses of the command line, some hundreds of them."""
