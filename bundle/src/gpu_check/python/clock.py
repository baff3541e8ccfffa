"""Time and memory of one operation, on a card and, so that the scripts can be tried, on a processor."""

import time

import torch


class Clock:
    """Measures on one device, until its time is up."""

    def __init__(self, device, seconds):
        self.device = torch.device(device)
        self.is_card = self.device.type == "cuda"
        self.deadline = time.monotonic() + seconds

    def has_time(self):
        return time.monotonic() < self.deadline

    def wait(self):
        if self.is_card:
            torch.cuda.synchronize()

    def seconds(self, work, times=3):
        """The shortest of a few runs, after one that nobody counts."""
        work()
        self.wait()
        shortest = float("inf")
        for _ in range(times):
            begun = time.perf_counter()
            work()
            self.wait()
            shortest = min(shortest, time.perf_counter() - begun)
            if not self.has_time():
                break
        return shortest

    def peak_bytes(self, work):
        """The most that tensors took beyond what was there before, and what work returned."""
        if self.is_card:
            self.wait()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            result = work()
            self.wait()
            return torch.cuda.max_memory_allocated() - before, result
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
        ) as profile:
            result = work()
        now = peak = 0
        events = (e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]")
        for event in sorted(events, key=lambda event: event.start_ns()):
            now += event.nbytes()
            peak = max(peak, now)
        return peak, result

    def give_back(self):
        if self.is_card:
            torch.cuda.empty_cache()
