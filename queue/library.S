/* The function library of lua/, as one NUL-terminated string in the programs. */
	.section .rodata
	.global library_lua
	.type library_lua, @object
library_lua:
	.incbin "stoker.lua"
	.byte 0
	.section .note.GNU-stack,"",@progbits
