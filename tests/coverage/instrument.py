"""instrument.py MAP FILE…: prints the function library put together from these files, in which every branch tells of
itself in the log of Redis when it is first taken. MAP (JSON) says what each number stands for.

A branch is one outcome, true or false, of:
  - each operand of a condition (if, elseif, while, until): `a and not b` has four
  - each left operand of `and` and `or` elsewhere; in `a and b or c`, which is Lua's conditional, b is a value
  - a loop: its body was entered, or it was passed by. What runs over constants has no second way.
  - a function: it was called.
No line moves, so that what an error says of a place stays true."""
import json
import sys

import tree_sitter
import tree_sitter_lua

# In front of the first statement. `redis` is the global one: the locals of the library come later.
PROBE = ("local reached do local seen = {} function reached(id, value) local key = value and id or -id "
         "if not seen[key] then seen[key] = true redis.log(redis.LOG_WARNING, 'stoker-branch ' .. key) end "
         "return value end end ")
LITERALS = {"true", "false", "nil", "number", "string", "table_constructor", "function_definition"}
FUNCTIONS = {"function_declaration", "function_definition"}


def text(node):
    return " ".join(node.text.decode().split())


def is_constant(node):
    """A literal, or what is written in capitals: by that the library knows a table that never changes."""
    if node.type == "unary_expression" and operator(node) == "#":
        node = node.child_by_field_name("operand")
    return node.type in LITERALS or node.type == "identifier" and text(node).isupper()


def operator(node):
    found = node.child_by_field_name("operator")
    return found.type if found else None


class Instrumented:
    def __init__(self, path, branches):
        self.path, self.branches = path, branches
        with open(path, "rb") as f:
            self.source = f.read()
        self.inserts = []  # offset, what closes before what opens, number, text
        root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_lua.language())).parse(self.source).root_node
        if root.has_error:
            raise SystemExit(f"{path}: the parser does not understand it")
        self.first = next(c for c in root.children if c.type not in ("comment", "hash_bang_line")).start_byte
        self.visit(root, "the file")

    def branch(self, kind, node, inside, outcomes=(True, False)):
        self.branches.append({"file": self.path, "line": node.start_point[0] + 1, "function": inside, "kind": kind,
                              "text": text(node), "outcomes": outcomes})
        return len(self.branches)

    def insert(self, offset, new, rank=0):
        self.inserts.append((offset, rank, len(self.inserts), new))

    def wrap(self, node, inside):
        self.insert(node.start_byte, f"reached({self.branch('operand', node, inside)}, ", 1)
        self.insert(node.end_byte, ")", -1)
        self.visit(node, inside)

    def condition(self, node, inside, is_value=False):
        """is_value: it is the left operand of an `or` whose value counts."""
        if node.type == "parenthesized_expression":
            self.condition(node.named_children[0], inside)
        elif node.type == "unary_expression" and operator(node) == "not":
            self.condition(node.child_by_field_name("operand"), inside)
        elif node.type == "binary_expression" and operator(node) in ("and", "or"):
            self.condition(node.child_by_field_name("left"), inside, is_value and operator(node) == "or")
            right = node.child_by_field_name("right")
            if is_value and operator(node) == "and":
                self.visit(right, inside)
            else:
                self.condition(right, inside, is_value)
        elif node.type in LITERALS:
            self.visit(node, inside)
        else:
            self.wrap(node, inside)

    def visit(self, node, inside):
        if node.type in FUNCTIONS:
            name = node.child_by_field_name("name")
            inside = text(name) if name else inside
            number = self.branch("function", name or node.child_by_field_name("parameters"), inside, (True,))
            self.insert(node.child_by_field_name("parameters").end_byte, f" reached({number}, true);")
        elif node.type == "for_statement":
            self.loop(node, inside)
        condition = node.child_by_field_name("condition")
        for child in node.children:
            if condition is not None and child == condition:
                self.condition(child, inside)
            elif node.type == "binary_expression" and operator(node) in ("and", "or") and \
                    child == node.child_by_field_name("left"):
                self.condition(child, inside, is_value=operator(node) == "or")
            else:
                self.visit(child, inside)

    def loop(self, node, inside):
        clause = node.child_by_field_name("clause")
        over = clause.named_children[1:] if clause.type == "for_numeric_clause" else \
            [c for call in clause.named_children[-1].named_children if call.child_by_field_name("arguments")
             for c in call.child_by_field_name("arguments").named_children]
        outcomes = (True,) if over and all(is_constant(c) for c in over) else (True, False)
        number = self.branch("loop", clause, inside, outcomes)
        do = next(c for c in node.children if c.type == "do")
        if outcomes == (True,):
            self.insert(do.end_byte, f" reached({number}, true);")
        else:
            self.insert(node.start_byte, "do local is_entered ", 1)
            self.insert(do.end_byte, f" is_entered = reached({number}, true);")
            self.insert(node.end_byte, f" reached({number}, is_entered); end", -1)

    def result(self, probe):
        if probe:
            self.insert(self.first, probe)
        out, at = [], 0
        for offset, _, _, new in sorted(self.inserts): # what was noted first is the outer one
            out += [self.source[at:offset], new.encode()]
            at = offset
        return b"".join(out) + self.source[at:]


def main():
    branches = []
    for i, path in enumerate(sys.argv[2:]):
        sys.stdout.buffer.write(Instrumented(path, branches).result(PROBE if i == 0 else ""))
    with open(sys.argv[1], "w") as f:
        json.dump(branches, f, indent=0)


if __name__ == "__main__":
    main()
