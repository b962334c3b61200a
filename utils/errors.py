from utils.command_line import CouldNotStart, HadToStop  # noqa: F401
from utils.files import Unreadable  # noqa: F401
