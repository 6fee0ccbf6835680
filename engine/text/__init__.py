"""What text from outside may do where it goes: one set of tables, one policy per destination.

Text of models, people, files, hubs and other servers is data. Before it is shown or stored in one of these places it passes the policy
of that place:

* `drawable`: the cells of the screen, where each character must have one width in every terminal;
* `one_line`: one cell of a list on the screen;
* `visible`: lines on a terminal and in documents that other programs open; a message being edited;
* `printable`: a name or an error's text inside a sentence, a line of a log, a frame of a stack;
* `file_name`: a file inside a sentence;
* `clean_title`: the title of a session;
* `storable`: a file or pipe that holds the exact text, as far as UTF-8 can.

What a file format itself gives a meaning to (a cell of CSV, a fence of Markdown) is the business of its writer.

May import nothing.
"""

from engine.text.policies import TITLE_LENGTH, clean_title, drawable, file_name, one_line, printable, storable, visible

__all__ = ["TITLE_LENGTH", "clean_title", "drawable", "file_name", "one_line", "printable", "storable", "visible"]
