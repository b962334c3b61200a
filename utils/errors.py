from utils.command_line import CouldNotStart, HadToStop
from utils.files import Unreadable
