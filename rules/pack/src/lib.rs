//! YAML rule packs: read, checked as a whole, resolved into a plan; every finding with file, line, caret and a way out.
