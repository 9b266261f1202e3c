package backend

// PeakMemory is the most that was resident of this process so far, bytes; 0 where the system does not say.
func PeakMemory() int64 { return peakMemory() }

// CPUModel is the name of the processor, "" where the system does not say.
func CPUModel() string { return cpuModel() }
