"""What clients send and get: OpenAI's requests and answers, and the fields that are ours."""
