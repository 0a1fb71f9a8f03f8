"""The value service: a replica of the critic that scores every state of a response."""
