"""The gateway: the OpenAI Images API over verified sealed bytes, with no database."""
