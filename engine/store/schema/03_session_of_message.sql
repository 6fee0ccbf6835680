-- Which session a message belongs to, without reading the message

CREATE INDEX messages_session_of ON messages (id, session_id);
