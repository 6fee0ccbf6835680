"""Makes untrusted text harmless: one set of tables, one policy per destination.

Text of models, users, files, hubs and other servers passes the policy of the place where it goes:

* `drawable`: the cells of the screen, where each character must have one width in every terminal;
* `one_line`: one cell of a list on the screen;
* `visible`: lines on a terminal and in documents that other programs open; a message being edited;
* `printable`: a name or an error's text inside a sentence, a line of a log, a frame of a stack;
* `file_name`: a file inside a sentence;
* `clean_title`: the title of a session;
* `storable`: a file or pipe that holds the exact text, as far as UTF-8 can.

Characters with a meaning in a file format (a cell of CSV, a fence of Markdown) are escaped by its writer.

May import nothing.
"""

from engine.text.policies import TITLE_LENGTH, clean_title, drawable, file_name, one_line, printable, storable, visible

__all__ = ["TITLE_LENGTH", "clean_title", "drawable", "file_name", "one_line", "printable", "storable", "visible"]
