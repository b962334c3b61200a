"""Theano 1.0.5 and Lasagne 0.1, patched to run on today's Pythons and NumPys.

Import `backend` before either of them; `models` does this itself. If they cannot run, it raises CannotRun; a
program that does not catch it exits with one sentence and status 2. All steps, in their order, are below and
nowhere else.
"""

from backend import checks, compile_folder, cuda, flags, notices
from backend.errors import CannotRun, end_in_sentences

end_in_sentences()  # in programs that do not handle CannotRun
checks.system()
checks.python()  # a version that the patches were made for
checks.numpy()  # installed for this Python
from backend import mends  # noqa: E402  (it needs NumPy)

checks.user_flags()
checks.convolutions()  # SALGAN_CONV
flags.translate()  # the spellings of 2017; float32 and no system BLAS unless the user says otherwise
flags.wait_asleep()  # the threads of OpenMP
checks.compiler()  # without one Theano would run in Python, silently, a hundred times slower
compile_folder.prepare()  # where Theano keeps its C modules
mends.before_theano()
cuda.prepare()  # device=cuda needs many libraries, and a supported card
with checks.importing_theano():
    theano, trouble = mends.import_quietly('theano')
mends.after_theano()
notices.announce_compilation()  # once, and only when there is something to compile
cuda.in_use(trouble)  # device=cuda means the card or nothing
lasagne = mends.import_lasagne()

from backend import convolutions, onednn, winograd  # noqa: E402  (they need both)

# each handles what the ones before it have left, and all run before Theano's own optimisers
winograd.register(0.05)
convolutions.register(0.06)
onednn.register(0.07)

__all__ = ['CannotRun', 'lasagne', 'theano']
