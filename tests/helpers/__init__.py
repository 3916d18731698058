"""What several tests use: models, data, trainings, and commands in processes of their own."""
