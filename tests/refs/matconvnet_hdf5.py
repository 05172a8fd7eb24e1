"""A net of matconvnet_nets.py as a MATLAB 7.3 file: tests/data/nets/matconvnet/branches_hdf5.mat.

Needs hdf5storage (which writes what MATLAB reads), h5py, scipy. Made with hdf5storage 0.2. Run from anywhere:
python tests/refs/matconvnet_hdf5.py
"""

from pathlib import Path

import hdf5storage
from scipy.io import loadmat

NETS = Path(__file__).resolve().parents[1] / "data" / "nets" / "matconvnet"

target = NETS / "branches_hdf5.mat"
target.unlink(missing_ok=True)
net = {key: value for key, value in loadmat(NETS / "branches.mat").items() if not key.startswith("__")}
hdf5storage.savemat(str(target), net, format="7.3", oned_as="row", store_python_metadata=False, matlab_compatible=True)
