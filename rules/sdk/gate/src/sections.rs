//! Sections of which more is asked than that they are valid: memory, table, exports, segments.

use rt_config::limits::{ANALYZER_PAGES_MAX, ANALYZER_TABLE_ELEMENTS_MAX};
use rules_sdk_abi::export;
use wasmparser::{
    ConstExpr, DataKind, ElementItems, ElementKind, Export, ExternalKind, FuncType, Operator,
};

use crate::inspect::{EXPORTS, PAGE_BYTES, Walk, invalid, offset_of, shown};
use crate::{Refusal, Rule, refusal::refuse};

impl Walk {
    pub(crate) fn tables(
        &mut self,
        tables: wasmparser::TableSectionReader<'_>,
    ) -> Result<(), Refusal> {
        for item in tables.into_iter_with_offsets() {
            let (offset, table) = item.map_err(|error| invalid(&error))?;
            if table.ty.maximum != Some(table.ty.initial) {
                return Err(refuse(
                    Rule::Table,
                    offset,
                    format!(
                        "a table of {} elements that {}; minimum and maximum must be equal",
                        table.ty.initial,
                        or_no_maximum(table.ty.maximum)
                    ),
                ));
            }
            if table.ty.initial > ANALYZER_TABLE_ELEMENTS_MAX {
                return Err(refuse(
                    Rule::Table,
                    offset,
                    format!(
                        "a table of {} elements; at most {ANALYZER_TABLE_ELEMENTS_MAX}",
                        table.ty.initial
                    ),
                ));
            }
            self.counts.table_elements = table.ty.initial;
        }
        Ok(())
    }

    pub(crate) fn memories(
        &mut self,
        memories: wasmparser::MemorySectionReader<'_>,
    ) -> Result<(), Refusal> {
        for item in memories.into_iter_with_offsets() {
            let (offset, memory) = item.map_err(|error| invalid(&error))?;
            if memory.maximum != Some(memory.initial) {
                return Err(refuse(
                    Rule::Memory,
                    offset,
                    format!(
                        "a memory of {} pages that {}; minimum and maximum must be equal",
                        memory.initial,
                        or_no_maximum(memory.maximum)
                    ),
                ));
            }
            if memory.initial > ANALYZER_PAGES_MAX || memory.initial == 0 {
                return Err(refuse(
                    Rule::Memory,
                    offset,
                    format!(
                        "a memory of {} pages; needed are 1 to {ANALYZER_PAGES_MAX}",
                        memory.initial
                    ),
                ));
            }
            self.memory_bytes = Some(memory.initial.saturating_mul(PAGE_BYTES));
        }
        Ok(())
    }

    pub(crate) fn export(&mut self, offset: u64, item: &Export<'_>) -> Result<(), Refusal> {
        if export::HARMLESS.contains(&item.name)
            && matches!(item.kind, ExternalKind::Global | ExternalKind::Table)
        {
            return Ok(());
        }
        if item.name == export::MEMORY {
            if item.kind != ExternalKind::Memory {
                return Err(refuse(
                    Rule::Exports,
                    offset,
                    "`memory` is exported, and is not a memory",
                ));
            }
            if let Some(seen) = self.exported.last_mut() {
                *seen = true;
            }
            return Ok(());
        }
        let Some((at, (_, result))) = EXPORTS
            .iter()
            .enumerate()
            .find(|(_, (name, _))| *name == item.name)
        else {
            return Err(refuse(
                Rule::Exports,
                offset,
                format!(
                    "`{}` is exported, which the ABI does not know",
                    shown(item.name)
                ),
            ));
        };
        let right = item.kind == ExternalKind::Func
            && self.signature(item.index).is_some_and(|ty| {
                ty.params().is_empty() && ty.results() == std::slice::from_ref(result)
            });
        if !right {
            return Err(refuse(
                Rule::Exports,
                offset,
                format!("`{}` must be a function `() -> {result}`", item.name),
            ));
        }
        if let Some(seen) = self.exported.get_mut(at) {
            *seen = true;
        }
        Ok(())
    }

    fn signature(&self, function: u32) -> Option<&FuncType> {
        let ty = self.functions.get(usize::try_from(function).ok()?)?;
        self.types.get(usize::try_from(*ty).ok()?)
    }

    pub(crate) fn elements(
        &mut self,
        elements: wasmparser::ElementSectionReader<'_>,
    ) -> Result<(), Refusal> {
        for item in elements.into_iter_with_offsets() {
            let (offset, element) = item.map_err(|error| invalid(&error))?;
            let count = match &element.items {
                ElementItems::Functions(functions) => functions.count(),
                ElementItems::Expressions(_, expressions) => expressions.count(),
            };
            let ElementKind::Active { offset_expr, .. } = &element.kind else {
                continue;
            };
            within(
                Rule::Elements,
                offset,
                offset_expr,
                u64::from(count),
                self.counts.table_elements,
                "elements of the table",
            )?;
        }
        Ok(())
    }

    pub(crate) fn data(&mut self, data: wasmparser::DataSectionReader<'_>) -> Result<(), Refusal> {
        for item in data.into_iter_with_offsets() {
            let (offset, data) = item.map_err(|error| invalid(&error))?;
            let bytes = offset_of(data.data.len());
            self.counts.data_bytes = self.counts.data_bytes.saturating_add(bytes);
            let DataKind::Active { offset_expr, .. } = &data.kind else {
                continue;
            };
            within(
                Rule::Data,
                offset,
                offset_expr,
                bytes,
                self.memory_bytes.unwrap_or_default(),
                "bytes of memory",
            )?;
        }
        Ok(())
    }
}

fn or_no_maximum(maximum: Option<u64>) -> String {
    maximum.map_or_else(
        || "has no maximum".to_owned(),
        |maximum| format!("may have {maximum}"),
    )
}

/// Whether an active segment lies within what it is written to.
fn within(
    rule: Rule,
    offset: u64,
    start: &ConstExpr<'_>,
    length: u64,
    size: u64,
    what: &str,
) -> Result<(), Refusal> {
    let Ok(Operator::I32Const { value }) = start.get_operators_reader().read() else {
        return Err(refuse(
            rule,
            offset,
            "a segment whose address is not a constant number",
        ));
    };
    let start = u64::from(value.cast_unsigned());
    let end = start.saturating_add(length);
    if end > size {
        return Err(refuse(
            rule,
            offset,
            format!("a segment from {start} to {end}, beyond the {size} {what}"),
        ));
    }
    Ok(())
}
