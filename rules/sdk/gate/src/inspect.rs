//! One pass over a module: own limits first, then the validator, section by section, so that the first byte that breaks a
//! rule is the one that is named.

use rt_config::limits::{
    ANALYZER_FUNCTIONS_MAX, ANALYZER_GLOBALS_MAX, ANALYZER_MODULE_BYTES_MAX, ANALYZER_SIGNATURE_MAX,
};
use rules_sdk_abi::{METADATA_SECTION, export, metadata::Metadata, metadata::SECTION_BYTES_MAX};
use wasmparser::{
    CompositeInnerType, CustomSectionReader, FuncType, FuncValidatorAllocations, FunctionBody,
    Parser, Payload, SectionLimited, ValType, ValidPayload, Validator, WasmFeatures,
};

use crate::{Counts, CustomSection, Module, Refusal, Rule, function, refusal::refuse};

/// What the toolchains of the SDKs need, and nothing else. `CALL_INDIRECT_OVERLONG` is how newer linkers write an
/// indirect call of the one table, without the rest of reference types.
const FEATURES: WasmFeatures = WasmFeatures::WASM1
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG);

/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = 65_536;

/// Whether the module is what `docs/analyzer-abi.md` says an analyzer must be, and what it is made of.
///
/// That the exchange area lies in memory at the address that `tl_area` returns is known only when that was called: here
/// its size is held against the memory's.
///
/// # Errors
/// [`Refusal`] by the first rule that is broken.
pub fn inspect(bytes: &[u8]) -> Result<Module, Refusal> {
    if bytes.len() > ANALYZER_MODULE_BYTES_MAX {
        return Err(refuse(
            Rule::Size,
            offset_of(ANALYZER_MODULE_BYTES_MAX),
            format!("{} bytes; at most {ANALYZER_MODULE_BYTES_MAX}", bytes.len()),
        ));
    }
    if Parser::is_component(bytes) {
        return Err(refuse(
            Rule::Proposal,
            4,
            "this is a component; an analyzer is a core module",
        ));
    }
    let mut walk = Walk::new(bytes);
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| invalid(&error))?;
        walk.before(&payload)?;
        match validator
            .payload(&payload)
            .map_err(|error| invalid(&error))?
        {
            ValidPayload::Func(to_validate, body) => {
                let mut function = to_validate.into_validator(allocations);
                function.validate(&body).map_err(|error| invalid(&error))?;
                allocations = function.into_allocations();
            }
            ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => {}
        }
        walk.after(payload)?;
    }
    walk.finish()
}

pub(crate) fn offset_of(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// The validator's or parser's word as a refusal.
pub(crate) fn invalid(error: &wasmparser::Error) -> Refusal {
    let rule = if error.missing_wasm_feature().is_some() {
        Rule::Proposal
    } else {
        Rule::Invalid
    };
    refuse(rule, error.offset(), error.message())
}

/// What was seen so far.
pub(crate) struct Walk {
    end: u64,
    pub(crate) counts: Counts,
    pub(crate) types: Vec<FuncType>,
    /// Type of each function.
    pub(crate) functions: Vec<u32>,
    /// Functions whose code was seen.
    bodies: usize,
    pub(crate) memory_bytes: Option<u64>,
    custom_sections: Vec<CustomSection>,
    /// The metadata, and where it lies.
    metadata: Option<(Metadata, u64)>,
    /// What of the ABI's exports was seen, in the order of [`EXPORTS`], and of the memory.
    pub(crate) exported: [bool; 5],
}

/// Exported functions with their results. None takes a parameter.
pub(crate) const EXPORTS: [(&str, ValType); 4] = [
    (export::AREA, ValType::I32),
    (export::INIT, ValType::I32),
    (export::PROCESS, ValType::I64),
    (export::STATE_HASH, ValType::I64),
];

impl Walk {
    fn new(bytes: &[u8]) -> Self {
        let end = offset_of(bytes.len());
        Self {
            end,
            counts: Counts {
                bytes: end,
                ..Counts::default()
            },
            types: Vec::new(),
            functions: Vec::new(),
            bodies: 0,
            memory_bytes: None,
            custom_sections: Vec::new(),
            metadata: None,
            exported: [false; 5],
        }
    }

    /// Limits, which hold whether or not the section is valid.
    fn before(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::TypeSection(types) => {
                self.counts.types = at_most(types, ANALYZER_FUNCTIONS_MAX, Rule::Types, "types")?;
            }
            Payload::ImportSection(imports) => check_imports(imports)?,
            Payload::FunctionSection(functions) => {
                self.counts.functions = at_most(
                    functions,
                    ANALYZER_FUNCTIONS_MAX,
                    Rule::Functions,
                    "functions",
                )?;
            }
            Payload::TableSection(tables) => {
                self.counts.tables = at_most(tables, 1, Rule::Table, "tables")?;
            }
            Payload::MemorySection(memories) => {
                at_most(memories, 1, Rule::Memory, "memories")?;
            }
            Payload::GlobalSection(globals) => {
                self.counts.globals =
                    at_most(globals, ANALYZER_GLOBALS_MAX, Rule::Globals, "globals")?;
            }
            Payload::StartSection { func, range } => {
                return Err(refuse(
                    Rule::Start,
                    range.start,
                    format!("function {func} is run at start"),
                ));
            }
            Payload::ElementSection(elements) => {
                at_most(
                    elements,
                    ANALYZER_FUNCTIONS_MAX,
                    Rule::Elements,
                    "element segments",
                )?;
            }
            Payload::DataSection(data) => {
                self.counts.data_segments =
                    at_most(data, ANALYZER_FUNCTIONS_MAX, Rule::Data, "data segments")?;
            }
            Payload::CodeSectionEntry(body) => self.function(body)?,
            _ => {}
        }
        Ok(())
    }

    /// What only makes sense of a valid section.
    fn after(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::TypeSection(types) => {
                for item in types.into_iter_with_offsets() {
                    let (offset, group) = item.map_err(|error| invalid(&error))?;
                    for ty in group.into_types() {
                        self.function_type(offset, ty.composite_type.inner)?;
                    }
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    self.functions.push(ty.map_err(|error| invalid(&error))?);
                }
            }
            Payload::TableSection(tables) => self.tables(tables)?,
            Payload::MemorySection(memories) => self.memories(memories)?,
            Payload::ExportSection(exports) => {
                for item in exports.into_iter_with_offsets() {
                    let (offset, export) = item.map_err(|error| invalid(&error))?;
                    self.export(offset, &export)?;
                }
            }
            Payload::ElementSection(elements) => self.elements(elements)?,
            Payload::DataSection(data) => self.data(data)?,
            Payload::CustomSection(section) => self.custom(&section)?,
            _ => {}
        }
        Ok(())
    }

    fn function_type(&mut self, offset: u64, ty: CompositeInnerType) -> Result<(), Refusal> {
        let CompositeInnerType::Func(ty) = ty else {
            return Err(refuse(Rule::Proposal, offset, "a type that is no function"));
        };
        let most = ty.params().len().max(ty.results().len());
        if most > ANALYZER_SIGNATURE_MAX {
            return Err(refuse(
                Rule::Types,
                offset,
                format!(
                    "type {} has {most} parameters or results; at most {ANALYZER_SIGNATURE_MAX}",
                    self.types.len()
                ),
            ));
        }
        self.types.push(ty);
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let params = self
            .functions
            .get(self.bodies)
            .and_then(|ty| self.types.get(usize::try_from(*ty).ok()?))
            .map_or(0, |ty| ty.params().len());
        self.bodies = self.bodies.saturating_add(1);
        function::check(
            body,
            u32::try_from(params).unwrap_or(u32::MAX),
            &mut self.counts,
        )
    }

    fn custom(&mut self, section: &CustomSectionReader<'_>) -> Result<(), Refusal> {
        let range = section.data_range();
        self.custom_sections.push(CustomSection {
            name: section.name().to_owned(),
            start: range.start,
            end: range.end,
        });
        if section.name() != METADATA_SECTION {
            return Ok(());
        }
        if self.metadata.is_some() {
            return Err(refuse(
                Rule::Section,
                range.start,
                format!("a second section `{METADATA_SECTION}`"),
            ));
        }
        if section.data().len() > SECTION_BYTES_MAX {
            return Err(refuse(
                Rule::Section,
                range.start,
                format!(
                    "metadata of {} bytes; at most {SECTION_BYTES_MAX}",
                    section.data().len()
                ),
            ));
        }
        let metadata = Metadata::parse(section.data())
            .map_err(|error| refuse(Rule::Metadata, range.start, error.to_string()))?;
        self.metadata = Some((metadata, range.start));
        Ok(())
    }

    /// What can be missing, at the end of the file.
    fn finish(self) -> Result<Module, Refusal> {
        let Some(memory_bytes) = self.memory_bytes else {
            return Err(refuse(Rule::Memory, self.end, "no memory"));
        };
        let names = EXPORTS.iter().map(|(name, _)| *name);
        for (name, seen) in names.chain([export::MEMORY]).zip(self.exported) {
            if !seen {
                return Err(refuse(
                    Rule::Exports,
                    self.end,
                    format!("`{name}` is not exported"),
                ));
            }
        }
        let Some((metadata, at)) = self.metadata else {
            return Err(refuse(
                Rule::Section,
                self.end,
                format!("no section `{METADATA_SECTION}`"),
            ));
        };
        let layout = metadata
            .layout()
            .filter(|layout| u64::from(layout.bytes) <= memory_bytes);
        match (layout, u32::try_from(memory_bytes)) {
            (Some(layout), Ok(memory_bytes)) => Ok(Module {
                metadata,
                layout,
                memory_bytes,
                counts: self.counts,
                custom_sections: self.custom_sections,
            }),
            _ => Err(refuse(
                Rule::Area,
                at,
                format!(
                    "the exchange area that the metadata asks for exceeds the {memory_bytes} bytes of memory"
                ),
            )),
        }
    }
}

/// A name as far as a message shows it: a hostile one may have any length.
pub(crate) fn shown(name: &str) -> String {
    name.chars()
        .take(64)
        .flat_map(char::escape_default)
        .collect()
}

fn at_most<T>(
    section: &SectionLimited<'_, T>,
    most: u32,
    rule: Rule,
    what: &str,
) -> Result<u32, Refusal> {
    let count = section.count();
    if count > most {
        return Err(refuse(
            rule,
            section.range().start,
            format!("{count} {what}; at most {most}"),
        ));
    }
    Ok(count)
}

fn check_imports(imports: &wasmparser::ImportSectionReader<'_>) -> Result<(), Refusal> {
    if imports.count() == 0 {
        return Ok(());
    }
    let first = imports.clone().into_imports().next();
    let what = match first {
        Some(Ok(import)) => format!(
            "`{}.{}` is imported",
            shown(import.module),
            shown(import.name)
        ),
        _ => format!("{} imports", imports.count()),
    };
    Err(refuse(Rule::Imports, imports.range().start, what))
}
