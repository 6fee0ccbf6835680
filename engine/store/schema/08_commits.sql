-- Commits of a process: a file whose count falls was overwritten by an older one

ALTER TABLE processes ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
