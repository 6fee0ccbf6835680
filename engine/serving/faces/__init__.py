"""The forms of the APIs: OpenAI's, llama-server's, Anthropic's and Ollama's."""
