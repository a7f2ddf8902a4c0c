"""Sounds: WAV, FLAC, Ogg and MP3, known by their first bytes and decoded by libsndfile; log-mel spectrograms.

The spectrogram: Hann window, power, Slaney's mel scale and area norm, natural logarithm of at least 1e-6.
"""

import io
import math
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.signal
import soundfile
import torch
from transformers.audio_utils import mel_filter_bank

from engine.data import limits
from engine.data.refusals import said
from pith.dataset import AudioPreprocessing

Wave = np.ndarray[Any, np.dtype[np.float32]]
FLOOR = 1e-6
_FORMATS = {"WAV", "WAVEX", "FLAC", "OGG", "MP3"}


class BadSound(Exception):
    """What is wrong with it, to stand behind the name of the sample."""


def is_sound(start: bytes) -> bool:
    """Whether at least the first 12 bytes are those of a sound that is read."""
    if start[:4] == b"RIFF":
        return start[8:12] == b"WAVE"
    frame = len(start) > 1 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2
    return start.startswith((b"fLaC", b"OggS", b"ID3")) or frame


def decode(data: bytes) -> tuple[Wave, int]:
    """The sound as one channel of floats in -1..1, and its samples a second.

    Raises:
        BadSound: it is damaged, too long or in another format.
    """
    if not is_sound(data[:12]):
        raise BadSound("is no WAV, FLAC, Ogg or MP3 sound")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check(file)
            longest = limits.SOUND_SECONDS * file.samplerate
            blocks = list(file.blocks(1 << 16, dtype="float32", always_2d=True, frames=longest + 1))
            rate = int(file.samplerate)
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError, TypeError, MemoryError) as error:
        raise BadSound(f"cannot be decoded ({said(error)})") from None
    wave: Wave = np.concatenate(blocks).mean(axis=1, dtype=np.float32) if blocks else np.zeros(0, np.float32)
    if len(wave) > longest:
        raise BadSound(f"is longer than {limits.SOUND_SECONDS} seconds")
    if not len(wave) or not np.isfinite(wave).all():
        raise BadSound("has no sound in it" if not len(wave) else "holds NaN or infinity")
    return wave, rate


def _check(file: soundfile.SoundFile) -> None:
    if file.format not in _FORMATS:
        raise BadSound(f"is {file.format}, and WAV, FLAC, Ogg and MP3 are read")
    if not 1000 <= file.samplerate <= limits.SOUND_RATE:
        raise BadSound(f"has {file.samplerate} samples a second, and 1000 to {limits.SOUND_RATE} are read")
    if file.channels > limits.SOUND_CHANNELS:
        raise BadSound(f"has {file.channels} channels, and {limits.SOUND_CHANNELS} is the most")


def resampled(wave: Wave, rate: int, wanted: int) -> Wave:
    if rate == wanted:
        return wave
    shared = math.gcd(rate, wanted)
    found: Wave = scipy.signal.resample_poly(wave, wanted // shared, rate // shared).astype(np.float32)
    return found


def features(wave: Wave, rate: int, how: AudioPreprocessing) -> np.ndarray[Any, Any]:
    """(samples,) or (mels, frames): resampled, cut or padded with silence to one duration."""
    wave = resampled(wave, rate, how.sample_rate)[: length(how)]
    wave = np.pad(wave, (0, length(how) - len(wave)))
    return wave if how.features == "waveform" else _log_mel(wave, how)


def length(how: AudioPreprocessing) -> int:
    return max(1, round(how.seconds * how.sample_rate))


def shape(how: AudioPreprocessing) -> tuple[int, ...]:
    """Of one sample, without channels."""
    return (length(how),) if how.features == "waveform" else (how.mels, 1 + length(how) // how.hop)


def _log_mel(wave: Wave, how: AudioPreprocessing) -> np.ndarray[Any, Any]:
    window, filters = _filters(how.sample_rate, how.window, how.mels)
    spectrum = torch.stft(
        torch.from_numpy(wave),
        how.window,
        how.hop,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    found: np.ndarray[Any, Any] = (filters @ spectrum.abs().square()).clamp_min(FLOOR).log().numpy()
    return found


@lru_cache(maxsize=8)
def _filters(rate: int, window: int, mels: int) -> tuple[torch.Tensor, torch.Tensor]:
    bank = mel_filter_bank(1 + window // 2, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    return torch.hann_window(window), torch.from_numpy(bank.T.astype(np.float32))
