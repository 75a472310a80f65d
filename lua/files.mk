lua_SOURCES :=
