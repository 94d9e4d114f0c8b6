-- Version 3.

-- How many tasks a slot started; none when it was missed, and for slots of before.
ALTER TABLE slot ADD COLUMN tasks INTEGER;
