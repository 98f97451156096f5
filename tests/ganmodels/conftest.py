"""Several threads cost more than they bring for networks of a few channels."""

import torch

torch.set_num_threads(1)
