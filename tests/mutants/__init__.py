"""Small errors put into the library's mathematics, which tests and claims must see."""
