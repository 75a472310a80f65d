unit_TESTS :=
