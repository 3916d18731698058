"""What everything else stands on: errors, types, recorded parts, randomness, several processes."""
