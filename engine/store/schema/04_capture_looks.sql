-- How often a capture looked

ALTER TABLE captures ADD COLUMN looks INTEGER;
