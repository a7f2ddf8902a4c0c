"""``make bench``: prints the figures that have limits, in half an hour. Run it on a quiet machine.

Those that need a bucket or real data are named: ``python -m bench bucket published modalities``.
"""

import datetime
import os
import sys

from bench import bucket, crowd, frames, modalities, overhead, pages, real_weights, rush, training, upload, weights
from engine.environment import processor

LIMITED = ("overhead", "training", "upload", "weights", "rush", "crowd", "memory")


def main(wanted: list[str]) -> None:
    wanted = wanted or list(LIMITED)
    print(
        f"{datetime.date.today()}, {processor()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"
    )
    if "overhead" in wanted:
        found = overhead.measure()
        print(f"(a) outside the engine  {found['outside']:.2f} s a job, worst {found['worst']:.2f}  (limit 1)")
        print(f"    whole job {found['whole']:.2f} s through the service, engine.run alone {found['direct']:.2f} s")
    if "training" in wanted:
        for step in ({"kind": "finetune.full"}, {"kind": "distill.logits", "cache": False}):
            found = training.measure(step)
            print(f"(b) {step['kind']:19} {found['ratio']:.3f} of a hand-written loop  (limit 0.95)")
            print(
                f"    {found['ours']:.2f} steps/s, by hand {found['hand']:.2f}; half of the rounds {found['low']:.3f} "
                f"to {found['high']:.3f}",
                flush=True,
            )
    if "upload" in wanted:
        found = upload.measure()
        print(f"(c) upload of 1 GiB     {found['ratio']:.2f} of copying and hashing it  (limit 0.6)")
        print(f"    {found['uploaded']:.0f} MB/s, copy and hash {found['copied']:.0f} MB/s")
        print(f"    in two parts        {found['parts_ratio']:.2f} of it, {found['parts']:.0f} MB/s  (limit 0.6)")
        print(f"(d) API memory          {found['before']:.1f} MiB before, {found['after']:.1f} MiB after six uploads")
    if "weights" in wanted:
        found = weights.measure()
        limit = 1.5 * found["read"] + 10
        print(
            f"(e) state dict checked  {found['checked']:.2f} s for {found['bytes'] / 1e9:.2f} GB  (limit {limit:.2f})"
        )
        print(f"    read alone {found['read']:.2f} s; checked, network built and weights put in {found['whole']:.2f} s")
    if "bucket" in wanted:
        found = bucket.measure()
        print(f"(k) into a bucket       {found['ratio']:.2f} of boto3's upload_file, which does not hash the whole")
        print(f"    {found['ours']:.0f} MB/s, upload_file {found['peer']:.0f} MB/s")
    if "rush" in wanted:
        found = rush.measure()
        print(f"(h) dispatch            {found['alone'] * 1e3:.1f} ms, worst {found['worst'] * 1e3:.1f}  (limit 20)")
        print(f"    a bare Celery task there and back {found['peer_alone'] * 1e3:.1f} ms")
        print(
            f"    1,000 jobs at once: taken in {found['submitted']:.1f} s, done in {found['whole']:.0f} s, each once; "
            f"{found['gap'] * 1e3:.1f} ms between two (a bare task {found['peer_loaded'] * 1e3:.1f} ms)",
            flush=True,
        )
    if "crowd" in wanted:
        found = crowd.measure()
        print(f"(i) p99 of a poll       {found['p99'] * 1e3:.1f} ms, median {found['p50'] * 1e3:.1f}  (limit 100)")
        print(
            f"    a bare route {found['bare_p99'] * 1e3:.1f} ms, median {found['bare_p50'] * 1e3:.1f}; "
            f"{found['requests']:.0f} polls, {found['events']:.0f} events to 100 streams",
            flush=True,
        )
    if "memory" in wanted:
        found = crowd.memory()
        print(
            f"(j) API memory          {found['start']:.1f} MiB, {found['10']:.1f} after 10,000 requests, "
            f"{found['50']:.1f} after 50,000, {found['100']:.1f} after 100,000 ({found['rate']:.0f} a second)"
        )
    if "pages" in wanted:
        for seen in pages.measure():
            print(
                f"(l) {seen['path']:20} {seen['median']:.0f} ms, worst {seen['worst']:.0f}  (limit 100); "
                f"{seen['kilobytes']:.0f} kB at the first visit  (limit 300)",
                flush=True,
            )
    if "frames" in wanted:
        found = frames.measure()
        for name, said in (("rest", "at rest"), ("live", "10,000 events"), ("reload", "loaded anew")):
            print(
                f"(m) a job, {said:13} {found[f'{name}_rate']:.1f} frames/s  (limit 60), the longest "
                f"{found[f'{name}_worst']:.0f} ms; its thread busy {found[f'{name}_busy']:.0%} of "
                f"{found[f'{name}_seconds']:.1f} s"
            )
    if "published" in wanted:
        for found in real_weights.measure():
            print(f"(g) {found['name']}: {found['before']:.2%} as it came (elsewhere {found['expected']:.2%}),")
            print(
                f"    {found['after']:.2%} with 8 bits, {found['ratio']:.1f} times smaller, {found['speedup']:.1f} "
                f"times faster; its check {found['check_seconds']:.1f} s",
                flush=True,
            )
    if "modalities" in wanted:
        for name in modalities.CASES:
            found = modalities.measure(name)
            print(f"(f) {name}: {found['trained']:.2%} after training (a simple peer {found['peer']:.2%}),")
            print(
                f"    {found['small']:.2%} after compression, {found['ratio']:.1f} times smaller, "
                f"{found['speedup']:.1f} times faster; check {found['check_seconds']:.0f} s, training "
                f"{found['training_seconds']:.0f} s, compression {found['compression_seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
