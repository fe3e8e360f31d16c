//! Modules that are not what a rule module should be, and what a good one costs in fuel.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use appliance_sandbox::{CallFault, Engine, LoadError, NativeCode, RuleModule, compile};
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalType, ImportSection, Instruction, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};

struct Shape {
    pages: u64,
    most: Option<u64>,
    import: bool,
    memory_export: &'static str,
    body: Vec<Instruction<'static>>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            pages: 1,
            most: Some(1),
            import: false,
            memory_export: "memory",
            body: vec![Instruction::I32Const(1)],
        }
    }
}

fn wasm(shape: &Shape) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut imports = ImportSection::new();
    if shape.import {
        let global = GlobalType {
            val_type: ValType::I32,
            mutable: false,
            shared: false,
        };
        imports.import("host", "clock", EntityType::Global(global));
    }
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: shape.pages,
        maximum: shape.most,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export(shape.memory_export, ExportKind::Memory, 0);
    exports.export("r0", ExportKind::Func, 0);
    let mut code = CodeSection::new();
    let mut function = Function::new([]);
    for instruction in &shape.body {
        function.instruction(instruction);
    }
    function.instruction(&Instruction::End);
    code.function(&function);
    let mut module = Module::new();
    module.section(&types);
    if shape.import {
        module.section(&imports);
    }
    module
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code);
    module.finish()
}

fn load_as(shape: &Shape, rules: usize, slots: usize) -> Result<RuleModule, LoadError> {
    let engine = Engine::new().unwrap();
    let native = compile(&engine, &wasm(shape)).unwrap();
    #[expect(unsafe_code, reason = "loading machine code")]
    // SAFETY: the bytes were made by `compile` two lines above and not touched since.
    let code = unsafe { NativeCode::vouch(&native) };
    RuleModule::load(&engine, &code, rules, slots)
}

fn load(shape: &Shape) -> RuleModule {
    load_as(shape, 1, 4).unwrap()
}

#[test]
fn a_rule_reads_the_slots_that_the_host_wrote() {
    use Instruction as I;
    let at = |offset| wasm_encoder::MemArg {
        offset,
        align: 0,
        target: wasm_encoder::MemArgTarget::Memory(0),
        ordering: None,
    };
    // slot 2 > 7.1 and usable
    let body = vec![
        I::I32Const(32),
        I::F64Load(at(0)),
        I::F64Const(7.1.into()),
        I::F64Gt,
        I::I32Const(32),
        I::I32Load(at(8)),
        I::I32And,
    ];
    let operators = body.len() as u64;
    let mut module = load(&Shape {
        body,
        ..Shape::default()
    });
    for (value, usable, expected) in [(7.2, true, 1), (7.0, true, 0), (7.2, false, 0)] {
        module.set_slot(2, value, usable).unwrap();
        assert_eq!(module.call(0, false, operators + 1), Ok(expected));
        assert_eq!(
            module.fuel_used(0, false),
            Ok(operators + 1),
            "one for the entry, one an operator"
        );
    }
    assert_eq!(
        module.call(0, false, operators),
        Err(CallFault::FuelExceeded {
            bound: operators,
            used: operators + 1
        })
    );
    assert_eq!(
        module.set_slot(4096, 1.0, true),
        Err(CallFault::NoSuchIndex)
    );
    assert_eq!(module.call(1, false, 100), Err(CallFault::NoSuchIndex));
}

#[test]
fn h_35_an_endless_loop_ends_when_its_fuel_does() {
    let body = vec![
        Instruction::Loop(BlockType::Empty),
        Instruction::Br(0),
        Instruction::End,
        Instruction::I32Const(0),
    ];
    let mut module = load(&Shape {
        body,
        ..Shape::default()
    });
    let fault = module.call(0, false, 1_000);
    assert!(
        matches!(fault, Err(CallFault::FuelExceeded { .. })),
        "{fault:?}"
    );
}

#[test]
fn h_37_recursion_without_end_is_a_fault() {
    let body = vec![Instruction::LocalGet(0), Instruction::Call(0)];
    let mut module = load(&Shape {
        body,
        ..Shape::default()
    });
    assert!(module.call(0, false, 1_000).is_err());
}

#[test]
fn h_38_every_trap_is_a_fault_and_not_the_end_of_the_host() {
    use Instruction as I;
    let load_at_end = wasm_encoder::MemArg {
        offset: 65_536,
        align: 0,
        target: wasm_encoder::MemArgTarget::Memory(0),
        ordering: None,
    };
    for body in [
        vec![I::Unreachable],
        vec![I::I32Const(1), I::I32Const(0), I::I32DivS],
        vec![I::I32Const(0), I::I32Load(load_at_end)],
        vec![I::F64Const(f64::NAN.into()), I::I32TruncF64S],
    ] {
        let mut module = load(&Shape {
            body: body.clone(),
            ..Shape::default()
        });
        assert_eq!(
            module.call(0, false, 1_000),
            Err(CallFault::Trap),
            "{body:?}"
        );
        // The host lives on, and so does its slot memory.
        assert_eq!(module.set_slot(0, 1.0, true), Ok(()));
    }
}

#[test]
fn h_36_memory_that_could_grow_or_is_too_small_or_too_large_is_refused() {
    for (pages, most, slots) in [
        (1, None, 4),
        (1, Some(2), 4),
        (1, Some(1), 4_097),
        (17, Some(17), 4),
    ] {
        let shape = Shape {
            pages,
            most,
            ..Shape::default()
        };
        let result = load_as(&shape, 1, slots).map(|_| ());
        assert!(result.is_err(), "{pages} {most:?} {slots}");
    }
    let largest = Shape {
        pages: 16,
        most: Some(16),
        ..Shape::default()
    };
    assert!(load_as(&largest, 1, 65_536).is_ok());
}

#[test]
fn imports_and_missing_exports_are_refused() {
    let import = Shape {
        import: true,
        ..Shape::default()
    };
    assert!(matches!(load_as(&import, 1, 4), Err(LoadError::Imports(1))));
    assert!(
        matches!(load_as(&Shape::default(), 2, 4), Err(LoadError::Export(name)) if name == "r1")
    );
    let hidden = Shape {
        memory_export: "heap",
        ..Shape::default()
    };
    assert!(matches!(load_as(&hidden, 1, 4), Err(LoadError::Export(name)) if name == "memory"));
}

#[test]
fn h_72_machine_code_that_is_not_ours_is_refused() {
    let engine = Engine::new().unwrap();
    let mut native = compile(&engine, &wasm(&Shape::default())).unwrap();
    for bytes in [&b"\x7fELF"[..], b"", &wasm(&Shape::default())] {
        #[expect(
            unsafe_code,
            reason = "what is vouched for here is refused before anything runs"
        )]
        // SAFETY: none of these is an artefact: the header check refuses them.
        let code = unsafe { NativeCode::vouch(bytes) };
        assert!(matches!(
            RuleModule::load(&engine, &code, 1, 4),
            Err(LoadError::Artefact(_))
        ));
    }
    // The same artefact as another version would write it.
    let version = native.windows(6).position(|window| window == b"48.0.8");
    if let Some(at) = version {
        native[at] = b'9';
        #[expect(
            unsafe_code,
            reason = "what is vouched for here is refused before anything runs"
        )]
        // SAFETY: the version check refuses it before the code is mapped.
        let code = unsafe { NativeCode::vouch(&native) };
        assert!(RuleModule::load(&engine, &code, 1, 4).is_err());
    }
}
