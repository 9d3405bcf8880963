# fetch.py NAME VERSION SHA256 FOLDER: the package NAME out of its source archive
# into FOLDER. `pip download` would run the archive's setup.py to learn its name;
# this finds and checks it as pip does, with all of the user's settings, and runs
# nothing of it. pip's inner parts are those of the pip that comes along.
import os
import shutil
import sys
import tempfile

from pip._internal.commands import create_command
from pip._internal.network.download import Downloader
from pip._internal.operations.prepare import unpack_url
from pip._internal.utils.hashes import Hashes
from pip._internal.utils.temp_dir import global_tempdir_manager

name, version, sha256, folder = sys.argv[1:]
command = create_command("download")
options, _ = command.parse_args(["--quiet", "--no-deps", "--no-binary", ":all:", name + "==" + version])
try:
    with tempfile.TemporaryDirectory() as work, command.main_context():
        command.enter_context(global_tempdir_manager())
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        links = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version and not c.link.is_wheel]
        if not links:
            sys.exit("ERROR: no source archive of %s %s was found" % (name, version))
        source = os.path.join(work, "source")
        unpack_url(links[0], source, Downloader(session, "off"), 0, hashes=Hashes({"sha256": [sha256]}))
        shutil.copytree(os.path.join(source, name), os.path.join(folder, name))
except Exception as e:
    sys.exit("ERROR: %s %s: %s" % (name, version, " ".join(str(e).split())))
