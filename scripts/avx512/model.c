// Makes the emulator of bochscpu-python a Sapphire Rapids, which has both VNNIs, where it would be a Cannon Lake, which has none, and gives
// it two functions of newer C libraries than Debian 12 has. Preloaded, so that the emulator's own symbols yield to these.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void *_Z23create_corei3_cnl_cpuidP8BX_CPU_C(void *cpu) {
	Dl_info caller;
	if (!dladdr(__builtin_return_address(0), &caller)) abort();
	void *emulator = dlopen(caller.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	void *(*create)(void *) = dlsym(emulator, "_Z28create_sapphire_rapids_cpuidP8BX_CPU_C");
	if (!create) abort();
	return create(cpu);
}

unsigned long long __isoc23_strtoull(const char *s, char **end, int base) { return strtoull(s, end, base); }

int __isoc23_sscanf(const char *s, const char *format, ...) {
	va_list args;
	va_start(args, format);
	int n = vsscanf(s, format, args);
	va_end(args);
	return n;
}
