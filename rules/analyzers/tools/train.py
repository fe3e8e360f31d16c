"""Trains the network of `network.rs` on simulated bearings only and writes rules/analyzers/dsp/weights/bearing-net.txt.

    pip install numpy==2.4.6 scikit-learn==1.9.1 && python3 rules/analyzers/tools/train.py

No recording is used: those are for testing, and their terms do not cover a model that ships. The simulation: coloured noise,
harmonics of the shaft, and for a defect a train of decaying resonances at its frequency with slip, modulated as the defect
passes the load zone (inner race with the shaft, ball with the cage). The features are those of the analyzers `bearing` and
`vibration`, computed here in the same way.
"""

import pathlib

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

OUT = pathlib.Path(__file__).parents[1] / "dsp" / "weights" / "bearing-net.txt"
N, HIDDEN, SEED = 32768, 12, 7
rng = np.random.default_rng(SEED)


def orders(balls, ratio):
    return 0.5 * balls * (1 + ratio), 0.5 * balls * (1 - ratio), (1 / ratio) * (1 - ratio**2), 0.5 * (1 - ratio)


def simulate(kind, fs, shaft, bearing):
    t = np.arange(N) / fs
    noise = rng.standard_normal(N)
    x = noise + rng.uniform(0, 0.7) * np.roll(noise, 1)
    for k in range(1, 8):
        x += rng.exponential(0.4) * np.sin(2 * np.pi * k * shaft * t + rng.uniform(0, 6.3))
    # A gear or a fan modulates the noise with harmonics of the shaft: what a healthy envelope shows.
    k = rng.integers(1, 6)
    x *= 1 + rng.uniform(0, 0.15) * np.cos(2 * np.pi * k * shaft * t)
    if kind:
        rate = bearing[kind - 1] * shaft * (1 + rng.uniform(-0.006, 0.004))
        times = np.cumsum(rng.normal(1 / rate, rng.uniform(0.0005, 0.01) / rate, int(N / fs * rate) + 2))
        times = times[times < t[-1]]
        depth, with_ = {1: (rng.uniform(0.3, 1), shaft), 2: (rng.uniform(0, 0.3), bearing[3] * shaft),
                        3: (rng.uniform(0.4, 1), bearing[3] * shaft)}[kind]
        size = (1 + depth * np.cos(2 * np.pi * with_ * times)) * rng.lognormal(0, 0.2, len(times))
        train = np.zeros(N)
        np.add.at(train, (times * fs).astype(int), size)
        length = np.arange(200) / fs
        ring = np.exp(-length * rng.uniform(600, 2500)) * np.sin(2 * np.pi * rng.uniform(2200, 0.4 * fs) * length)
        strength = 10 ** rng.uniform(-0.1, 1.4) * (0.5 if kind == 3 else 1)
        x += strength * np.convolve(train, ring)[:N]
    return x


def line(amplitude, order, turns, seconds):
    exact = order * turns
    low, high = min(int(np.ceil(exact * 0.99)), int(exact + 0.5)), max(int(exact * 1.01), int(exact + 0.5))
    best = 0
    for k in range(max(low, 2), high + 1):
        harmonic = round(k / turns)
        on_shaft = harmonic >= 1 and abs(k - harmonic * turns) <= max(1.5, 0.003 * k)
        if amplitude[k] >= max(amplitude[k - 1], amplitude[k + 1]) and not on_shaft and amplitude[k] > amplitude[best]:
            best = k
    if best == 0:
        return 0.0
    width = int(np.clip(25 * seconds, 8, 128))
    return amplitude[best] / np.median(amplitude[max(best - width, 1) : best + width + 1])


def features(x, fs, shaft, bearing):
    x = x - x.mean()
    spectrum = np.fft.rfft(x)
    k1, k2 = int(np.ceil(2000 * N / fs)), int(0.47 * N)
    analytic = np.zeros(N // 2, complex)
    analytic[: k2 - k1 + 1] = spectrum[k1 : k2 + 1]
    envelope = np.abs(np.fft.ifft(analytic))
    amplitude = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope))))
    amplitude[0] = 0
    seconds = N / fs
    lines = [line(amplitude, o, shaft * seconds, seconds) for o in bearing]
    rms = x.std()
    return [*lines, (x**4).mean() / rms**4, np.abs(x).max() / rms]


rows, labels = [], []
for _ in range(3000):
    kind = int(rng.integers(0, 4))
    fs, shaft = float(rng.choice([12000.0, 25600.0, 48000.0])), rng.uniform(20, 50)
    bearing = orders(int(rng.integers(7, 16)), rng.uniform(0.12, 0.3))
    rows.append(features(simulate(kind, fs, shaft, bearing), fs, shaft, bearing))
    labels.append(kind)

logs, labels = np.log1p(np.array(rows)), np.array(labels)
train, test, train_labels, test_labels = train_test_split(logs, labels, test_size=0.3, random_state=SEED)
mean, scale = train.mean(axis=0), train.std(axis=0)
net = MLPClassifier((HIDDEN,), alpha=1e-2, max_iter=3000, random_state=SEED).fit((train - mean) / scale, train_labels)
told = net.predict((test - mean) / scale)
matrix = np.zeros((4, 4), int)
np.add.at(matrix, (test_labels, told), 1)
print("simulated, held out (rows: label; columns: told; normal, inner, outer, ball):")
print(matrix)

layers = {
    "mean": mean[None],
    "scale": scale[None],
    "first": net.coefs_[0].T,
    "first_bias": net.intercepts_[0][None],
    "second": net.coefs_[1].T,
    "second_bias": net.intercepts_[1][None],
}
with OUT.open("w") as file:
    file.write("# Written by rules/analyzers/tools/train.py from simulated signals; one row of a matrix a line.\n")
    for name, matrix in layers.items():
        file.write(name + "\n")
        for row in matrix:
            file.write(" ".join(f"{value:.6g}" for value in row) + "\n")
