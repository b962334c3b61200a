"""The numbers published in the paper (arXiv:1701.01081): Tables 2, 3 and 4, and the curves of Figure 3.

The paper names no implementation of the metrics. Tables 2 and 3 and Figure 3 must come from the MIT code on
SALICON's validation set of 2015, with filtered fixations (raw mouse samples cannot reach an NSS of 2.5);
Table 4 comes from the organisers' servers, with SALICON's own code and MIT's.
"""

from typing import NamedTuple


class Table(NamedTuple):
    """A published table."""

    title: str
    protocol: str  # 'mit' or 'salicon', whose definitions and names its numbers follow
    metrics: tuple  # the columns
    rows: dict  # name of the model -> values, None if there is none


TABLES = {
    'table2': Table(
        'Table 2: SALICON validation, content loss only, 15 epochs; /N: loss on maps N times smaller',
        'mit',
        ('sAUC', 'AUC-Borji', 'NSS', 'CC', 'IG'),
        {
            'BCE': (0.752, 0.825, 2.473, 0.761, 0.712),
            'BCE/2': (0.750, 0.820, 2.527, 0.764, 0.592),
            'BCE/4': (0.755, 0.831, 2.511, 0.763, 0.825),
            'BCE/8': (0.754, 0.827, 2.503, 0.762, 0.831),
        },
    ),
    'table3': Table(
        'Table 3: SALICON validation, best over epochs',
        'mit',
        ('sAUC', 'AUC-Borji', 'NSS', 'CC', 'IG'),
        {
            'MSE': (0.728, 0.820, 1.680, 0.708, 0.628),
            'BCE': (0.753, 0.825, 2.562, 0.772, 0.824),
            'BCE/4': (0.757, 0.833, 2.580, 0.772, 1.067),
            'GAN/4': (0.773, 0.859, 2.589, 0.786, 1.243),
        },
    ),
    'table4-salicon': Table(
        'Table 4: SALICON test; these models were trained on train and validation',
        'salicon',
        ('AUC', 'sAUC', 'CC', 'NSS'),
        {
            'DSCLRCN': (0.884, 0.776, 0.831, 3.157),
            'SalGAN': (0.884, 0.772, 0.781, 2.459),
            'ML-NET': (0.866, 0.768, 0.743, 2.789),
            'SalNet': (0.858, 0.724, 0.609, 1.859),
        },
    ),
    'table4-mit300': Table(
        'Table 4: MIT300',
        'mit',
        ('AUC-Judd', 'SIM', 'EMD', 'AUC-Borji', 'sAUC', 'CC', 'NSS', 'KL'),
        {
            'Humans': (0.92, 1.00, 0.00, 0.88, 0.81, 1.0, 3.29, 0.00),
            'DeepGaze II': (0.88, 0.46, 3.98, 0.86, 0.72, 0.52, 1.29, 0.96),
            'DSCLRCN': (0.87, 0.68, 2.17, 0.79, 0.72, 0.80, 2.35, 0.95),
            'DeepFix': (0.87, 0.67, 2.04, 0.80, 0.71, 0.78, 2.26, 0.63),
            'SALICON': (0.87, 0.60, 2.62, 0.85, 0.74, 0.74, 2.12, 0.54),
            'SalGAN': (0.86, 0.63, 2.29, 0.81, 0.72, 0.73, 2.04, 1.07),
            'PDP': (0.85, 0.60, 2.58, 0.80, 0.73, 0.70, 2.05, 0.92),
            'ML-NET': (0.85, 0.59, 2.63, 0.75, 0.70, 0.67, 2.05, 1.10),
            'DeepGaze I': (0.84, 0.39, 4.97, 0.83, 0.66, 0.48, 1.22, 1.23),
            'iSEEL': (0.84, 0.57, 2.72, 0.81, 0.68, 0.65, 1.78, 0.65),
            'SalNet': (0.83, 0.52, 3.31, 0.82, 0.69, 0.58, 1.51, 0.81),
            'BMS': (0.83, 0.51, 3.35, 0.82, 0.65, 0.55, 1.41, 0.81),
        },
    ),
}

# Cells that the paper itself contradicts: not to be used as a target.
DISPUTED = {
    ('table3', 'GAN/4', 'NSS'): 'the text and Figure 3 have GAN/4 below BCE/4, the table above',
    ('table3', 'BCE/4', 'NSS'): 'the text and Figure 3 have BCE/4 above GAN/4, the table below',
    ('table3', 'GAN/4', 'AUC-Borji'): 'appears nowhere in Figure 3, whose highest is 0.848',
    ('table3', 'GAN/4', 'IG'): 'appears nowhere in Figure 3, whose highest is 1.117',
}

FIGURE3_METRICS = ('SIM', 'AUC-Judd', 'AUC-Borji', 'CC', 'NSS', 'IG')
# Training -> metric -> epoch -> value, read off the curves; all on SALICON validation.
FIGURE3 = {
    'GAN + BCE': {
        'SIM': {15: 0.664, 30: 0.667, 45: 0.6697, 60: 0.6695, 75: 0.6719, 105: 0.6675, 120: 0.6681},
        'AUC-Judd': {15: 0.877, 30: 0.8782, 45: 0.8781, 60: 0.8795, 75: 0.8792, 105: 0.8812, 120: 0.8811},
        'AUC-Borji': {15: 0.8311, 30: 0.831, 45: 0.8264, 60: 0.835, 75: 0.8304, 105: 0.8476, 120: 0.8467},
        'CC': {15: 0.7733, 30: 0.7774, 45: 0.783, 60: 0.7823, 75: 0.7858, 105: 0.7797, 120: 0.7797},
        'NSS': {15: 2.5223, 30: 2.5309, 45: 2.5803, 60: 2.53421, 75: 2.5604, 105: 2.4585, 120: 2.4558},
        'IG': {15: 0.84028, 30: 0.8357, 45: 0.74099, 60: 0.92799, 75: 0.8317, 105: 1.11669, 120: 1.09739},
    },
    'BCE': {
        'SIM': {15: 0.6556, 30: 0.6614, 45: 0.6635, 60: 0.6643, 75: 0.658, 105: 0.659, 120: 0.6549},
        'AUC-Judd': {15: 0.8744, 30: 0.875, 45: 0.8755, 60: 0.875, 75: 0.8761, 105: 0.8738, 120: 0.8743},
        'AUC-Borji': {15: 0.8311, 30: 0.8219, 45: 0.8217, 60: 0.8161, 75: 0.8331, 105: 0.8086, 120: 0.8224},
        'CC': {15: 0.7613, 30: 0.7698, 45: 0.7714, 60: 0.7723, 75: 0.7574, 105: 0.763, 120: 0.7665},
        'NSS': {15: 2.4729, 30: 2.5682, 45: 2.5676, 60: 2.5951, 75: 2.5215, 105: 2.5892, 120: 2.5235},
        'IG': {15: 0.8246, 30: 0.76959, 45: 0.75239, 60: 0.7287, 75: 1.06688, 105: 0.7163, 120: 0.7509},
    },
}
