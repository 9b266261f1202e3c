// Package system tells facts about the machine that others plan with or report: memory, its limit, what this process took of it, the
// processor's name. It depends on nothing of the project. What a processor can compute belongs to the kernels.
package system

// Memory is the machine's total and available memory, bytes, 0 for what the system does not say.
func Memory() (total, available uint64) { return memory() }

// PeakMemory is the most that was resident of this process so far, bytes; 0 where the system does not say.
func PeakMemory() int64 { return peakMemory() }

// ResidentMemory is what is resident of this process now, bytes; 0 where the system does not say.
func ResidentMemory() int64 { return residentMemory() }

// CPUModel is the name of the processor, "" where the system does not say.
func CPUModel() string { return cpuModel() }
