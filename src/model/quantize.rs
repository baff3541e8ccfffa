//! `wan-alpha model quantize`: a model whose transformer takes fewer bits, with a name of its own.
//!
//! The matrices of the blocks are brought into the format once, in float32, adapters merged before; all
//! else is written as it is. fp8 is a safetensors file with a scale for each row, as LightX2V has it; the
//! others are GGUF.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{Keep, Pipeline};
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::weights::{
    ModelFiles, QuantizationError, QuantizedForm, QuantizedMatrix, StoredKind, Strengths, Weights,
    is_block_matrix, quantize,
};
use wan_alpha_take::counted::counted;
use wan_alpha_take::models::{AUTO, Manifest, ModelRoots, PartFile, check_name};

use super::gguf_header::{GgufTensorHead, gguf_header};
use super::merge::{merged_remarks, with_fillers};
use super::tensor_stream::{self, TensorHead};
use super::{Chosen, Recorded, SamplingDefaults, parts};
use crate::exit::{Exit, OrExit};
use crate::progress::TerminalProgress;
use crate::write_lock::WriteLock;

/// The scale of a weight, after its name.
const SCALE: &str = "_scale";

/// What is made of a model.
pub(super) struct Quantizing<'a> {
    /// The format, and its name.
    pub(super) to: (&'static str, QuantizedForm),
    /// What the new model is called.
    pub(super) name: Option<&'a str>,
    /// What there is to say is said for programs.
    pub(super) json: bool,
    pub(super) roots: &'a ModelRoots,
}

/// What a layer has lost.
struct LayerError {
    /// The name of its weight.
    name: String,
    form: QuantizedForm,
    error: QuantizationError,
}

impl Quantizing<'_> {
    /// Writes the model and records it. Returns what there is to say.
    pub(super) fn run(
        &self,
        chosen: &Chosen,
        progress: &TerminalProgress,
        watch: &dyn Watch,
    ) -> Result<Vec<String>> {
        let Self { to: (format, form), json, roots, .. } = *self;
        let name = self.name.map_or_else(|| format!("{}-{format}", chosen.name), str::to_owned);
        check_name(&name).or_exit(Exit::BadInput)?;
        refuse_taken(&name, roots)?;
        let device = Device::cpu();
        let (strengths, paths) = (Strengths::default(), &chosen.paths);
        let pipeline = Pipeline::open(paths, strengths, device, Keep::Nothing, watch)?;
        let writing = Writing::of(pipeline.files(), form, device)?;
        let root = roots.roots.first().context("there is no folder for models; set one")?;
        let folder = root.join(&name);
        writing.announce(&folder, roots, progress)?;
        if writing.is_quantized_already() {
            watch.warn(
                "the model is quantized already: what is lost now adds to what was; take the model that \
                 it was made of where you have it",
            );
        }
        let ending = if form == QuantizedForm::Fp8 { "safetensors" } else { "gguf" };
        let file = folder.join(format!("transformer.{format}.{ending}"));
        let explain = || format!("cannot write to {}", folder.display());
        fs::create_dir_all(&folder).with_context(explain).or_exit(Exit::BadInput)?;
        let lock = WriteLock::of_folder(&folder)?;
        // Whoever held it may have made that model.
        refuse_taken(&name, roots)?;
        let made = writing
            .write(&file, watch)
            .and_then(|()| self.record(&name, &file, (chosen, &pipeline), watch));
        let record = made.inspect_err(|_| {
            // What has no record is found by nobody.
            let _ = fs::remove_file(&file);
        });
        drop(lock);
        let record = record.inspect_err(|_| {
            let _ = fs::remove_dir(&folder);
        })?;
        let auto = roots.find(AUTO).ok().map(|model| model.manifest.name);
        if json {
            return Ok(vec![writing.json(&name, auto.as_deref(), &file, &record)?]);
        }
        let mut lines = writing.lines(&name, &file, &record)?;
        lines.extend(auto.map(|auto| {
            if auto == name {
                format!("`auto` is {name} too: no other model is there, or WAN_ALPHA_MODEL says so")
            } else {
                format!("`auto` is {auto}: --model {name} says that this one is meant")
            }
        }));
        Ok(lines)
    }

    /// Records the written transformer with the other parts of the model.
    fn record(
        &self,
        name: &str,
        file: &Path,
        (chosen, source): (&Chosen, &Pipeline),
        watch: &dyn Watch,
    ) -> Result<(Manifest, PathBuf)> {
        let files = source.files();
        let replaced: Vec<&Path> =
            files.dit.paths().chain(files.adapters.iter().map(|adapter| adapter.path())).collect();
        let kept = files.paths().into_iter().filter(|path| !replaced.contains(&path.as_path()));
        let paths: Vec<PathBuf> = std::iter::once(file.to_owned()).chain(kept).collect();
        let made = ModelFiles::find(&paths, Strengths::default(), watch)?;
        let fingerprint = made.fingerprint(watch)?;
        let parts = made.paths().iter().map(|path| PartFile::of(path)).collect::<Result<_, _>>()?;
        let recorded = Recorded::of(chosen);
        let sampling = SamplingDefaults::of(&recorded, source, None);
        let parameters = files.dit.parameters();
        let mut record = Manifest::new(name, fingerprint, parts, sampling.defaults, parameters);
        record.made_for = recorded.made_for;
        record.preset = sampling.preset;
        record.quantized_from = Some(chosen.name.clone());
        // Its autoencoder is the same.
        record.preview = chosen.preview.clone();
        let place = self.roots.add(&record)?;
        Ok((record, place))
    }
}

/// Refuses the name of a model that is there.
fn refuse_taken(name: &str, roots: &ModelRoots) -> Result<()> {
    if roots.find(name).is_ok() {
        return Err(anyhow!(
            "there is a model called {name}; give another --name, or forget that one first: `wan-alpha model \
             remove {name}`"
        ))
        .or_exit(Exit::BadInput);
    }
    Ok(())
}

/// A tensor of the transformer, and what becomes of it.
struct Planned {
    name: String,
    shape: Vec<i64>,
    becomes: Becomes,
}

#[derive(Clone, Copy)]
enum Becomes {
    /// Numbers of a kind, as they are.
    Kept(Kind),
    Quantized(QuantizedForm),
}

/// A transformer on its way into fewer bits.
struct Writing<'a> {
    files: &'a ModelFiles,
    form: QuantizedForm,
    device: Device,
    tensors: Vec<Planned>,
    errors: RefCell<Vec<LayerError>>,
}

impl<'a> Writing<'a> {
    fn of(files: &'a ModelFiles, form: QuantizedForm, device: Device) -> Result<Self> {
        let set = &files.dit;
        let planned = |name: &str| -> Result<Planned> {
            let (entry, _, _) = set.find(name)?;
            let shape = entry.shape.clone();
            let width = shape.last().copied().unwrap_or(0);
            let form = form.for_rows_of(width).filter(|_| is_block_matrix(name, &shape));
            let changed = files.adapters.iter().any(|adapter| adapter.changes(name));
            let becomes = match (form, &entry.stored) {
                (Some(form), _) => Becomes::Quantized(form),
                (None, StoredKind::Plain(kind)) if !changed && !entry.stored.is_quantized() => {
                    Becomes::Kept(*kind)
                }
                // Merged and multiplied out as float32, and rounded no further.
                (None, _) => Becomes::Kept(Kind::Float),
            };
            Ok(Planned { name: name.to_owned(), shape, becomes })
        };
        let names = set.names().filter(|name| !name.contains('#'));
        let tensors = names.map(planned).collect::<Result<Vec<_>>>()?;
        Ok(Self { files, form, device, tensors, errors: RefCell::default() })
    }

    /// Whether any of what is quantized has been before.
    fn is_quantized_already(&self) -> bool {
        self.tensors.iter().filter(|tensor| matches!(tensor.becomes, Becomes::Quantized(_))).any(
            |tensor| {
                self.files
                    .dit
                    .find(&tensor.name)
                    .is_ok_and(|(entry, ..)| entry.stored.is_quantized())
            },
        )
    }

    /// Bytes of the tensors in the file.
    fn bytes(&self) -> u64 {
        let of = |tensor: &Planned| -> u64 {
            let numbers = tensor.shape.iter().product::<i64>() as usize;
            let bytes = match tensor.becomes {
                Becomes::Kept(kind) => numbers * kind.elt_size_in_bytes(),
                Becomes::Quantized(form) => {
                    let scales = if form == QuantizedForm::Fp8 { tensor.shape[0] * 4 } else { 0 };
                    form.stored().bytes_of(numbers) + scales as usize
                }
            };
            bytes as u64
        };
        self.tensors.iter().map(of).sum()
    }

    /// Tells how large the file will be; refuses where there is no room.
    fn announce(
        &self,
        folder: &Path,
        roots: &ModelRoots,
        progress: &TerminalProgress,
    ) -> Result<()> {
        let bytes = self.bytes();
        let size = parts::size(bytes);
        progress.remark(format!("the transformer will take {size} in {}", folder.display()));
        let room = roots.room();
        if room.is_some_and(|room| room <= bytes) {
            return Err(anyhow!(
                "the transformer will take {size}, and {} are free in {}: make room",
                parts::size(room.unwrap_or(0)),
                folder.display()
            ))
            .or_exit(Exit::BadInput);
        }
        Ok(())
    }

    fn write(&self, file: &Path, watch: &dyn Watch) -> Result<()> {
        if self.form == QuantizedForm::Fp8 {
            self.write_safetensors(file, watch)
        } else {
            self.write_gguf(file, watch)
        }
    }

    /// A tensor's numbers with adapters merged.
    fn numbers(&self, tensor: &Planned, kind: Kind) -> Result<Tensor> {
        let (set, adapters) = (self.files.dit.clone(), self.files.adapters.clone());
        let weights = Weights::new(set, adapters, kind, self.device);
        Ok(weights.get(&tensor.name, &tensor.shape)?)
    }

    /// A matrix brought into its form; what is lost is noted.
    fn quantized(&self, tensor: &Planned, form: QuantizedForm) -> Result<QuantizedMatrix> {
        let matrix = self.numbers(tensor, Kind::Float)?;
        let made = quantize(self.device, &matrix, form)
            .with_context(|| format!("cannot quantize `{}`", tensor.name))?;
        let name = tensor.name.clone();
        self.errors.borrow_mut().push(LayerError { name, form, error: made.error });
        Ok(made)
    }

    fn write_gguf(&self, file: &Path, watch: &dyn Watch) -> Result<()> {
        let head = |tensor: &Planned| GgufTensorHead {
            name: tensor.name.clone(),
            stored: match tensor.becomes {
                Becomes::Kept(kind) => StoredKind::Plain(kind),
                Becomes::Quantized(form) => form.stored(),
            },
            shape: tensor.shape.clone(),
        };
        let heads: Vec<_> = self.tensors.iter().map(head).collect();
        let header = gguf_header(&heads, &merged_remarks(self.files))?;
        let piece = |index: usize| -> Result<Vec<u8>> {
            let tensor = &self.tensors[index];
            let mut bytes = match tensor.becomes {
                Becomes::Kept(kind) => tensor_stream::raw(&self.numbers(tensor, kind)?)?,
                Becomes::Quantized(form) => self.quantized(tensor, form)?.codes,
            };
            bytes.resize(heads[index].padded(), 0);
            Ok(bytes)
        };
        tensor_stream::write_bytes(file, &header, heads.len(), ("quantizing", watch), &piece)
    }

    fn write_safetensors(&self, file: &Path, watch: &dyn Watch) -> Result<()> {
        let heads = self.tensors.iter().flat_map(|tensor| {
            let head = |name: &str, kind: Kind, shape: &[i64]| TensorHead {
                name: name.to_owned(),
                kind,
                shape: shape.to_vec(),
            };
            match tensor.becomes {
                Becomes::Kept(kind) => vec![head(&tensor.name, kind, &tensor.shape)],
                Becomes::Quantized(_) => {
                    let scale = format!("{}{SCALE}", tensor.name);
                    vec![
                        head(&tensor.name, Kind::Float8e4m3fn, &tensor.shape),
                        head(&scale, Kind::Float, &[tensor.shape[0], 1]),
                    ]
                }
            }
        });
        let heads = with_fillers(heads.collect());
        // The scales of the matrix that was written last.
        let scales = RefCell::new(Vec::new());
        let read = |index: usize| -> Result<Tensor> {
            let TensorHead { name, kind, shape } = &heads[index];
            if *kind == Kind::Uint8 {
                return Ok(self.device.zeros(shape, Kind::Uint8)?);
            }
            let Some(tensor) = self.tensors.iter().find(|tensor| tensor.name == *name) else {
                return Ok(Tensor::f_from_slice(&scales.take())?.f_view(&shape[..])?);
            };
            let Becomes::Quantized(form) = tensor.becomes else {
                return self.numbers(tensor, *kind);
            };
            let made = self.quantized(tensor, form)?;
            scales.replace(made.scales);
            let codes = Tensor::f_from_slice(&made.codes)?.f_view(&shape[..])?;
            Ok(codes.f_view_dtype(Kind::Float8e4m3fn)?)
        };
        let remarks = merged_remarks(self.files);
        tensor_stream::write(file, &heads, &remarks, ("quantizing", watch), &read)
    }

    fn lines(&self, name: &str, file: &Path, record: &(Manifest, PathBuf)) -> Result<Vec<String>> {
        let errors = self.errors.borrow();
        let mut lines = Vec::new();
        let mut rest = &errors[..];
        while let Some(first) = rest.first() {
            let block = block_of(&first.name);
            let count = rest.iter().take_while(|layer| block_of(&layer.name) == block).count();
            let (layers, after) = rest.split_at(count);
            rest = after;
            lines.push(format!("{block:10} {}", in_words(layers)));
        }
        lines.push(format!("{:10} {}", "all", in_words(&errors)));
        let others = errors.iter().filter(|layer| layer.form != self.form).count();
        if others > 0 {
            lines.push(format!(
                "{} whose rows are no whole blocks of the format: as q8_0",
                counted(others, "matrix")
            ));
        }
        let size = fs::metadata(file).map_or(0, |about| about.len());
        let before = self.files.dit.names().filter_map(|name| self.files.dit.find(name).ok());
        let before = before.map(|(entry, ..)| entry.bytes()).sum();
        let (record, place) = record;
        lines.extend([
            format!("{}: {}, before {}", file.display(), parts::size(size), parts::size(before)),
            format!("{name} is recorded in {}", place.display()),
            format!("fingerprint {}", record.fingerprint),
            format!("use it: wan-alpha render --model {name} --prompt …"),
        ]);
        Ok(lines)
    }

    fn json(
        &self,
        name: &str,
        auto: Option<&str>,
        file: &Path,
        record: &(Manifest, PathBuf),
    ) -> Result<String> {
        let errors = self.errors.borrow();
        let layer = |layer: &LayerError| {
            json!({
                "name": layer.name,
                "stored": layer.form.stored().to_string(),
                "relative_error": layer.error.relative(),
                "decibels": decibels(&layer.error),
                "largest_error": layer.error.most,
            })
        };
        let (record, place) = record;
        let whole = total(&errors);
        let report = json!({
            "name": name,
            "auto": auto,
            "record": place,
            "fingerprint": record.fingerprint,
            "file": file,
            "bytes": fs::metadata(file).map_or(0, |about| about.len()),
            "relative_error": whole.relative(),
            "decibels": decibels(&whole),
            "layers": errors.iter().map(layer).collect::<Vec<_>>(),
        });
        Ok(serde_json::to_string_pretty(&report)?)
    }
}

/// `blocks.3` of `blocks.3.ffn.0.weight`.
fn block_of(name: &str) -> &str {
    name.match_indices('.').nth(1).map_or(name, |(end, _)| &name[..end])
}

fn total(layers: &[LayerError]) -> QuantizationError {
    layers.iter().fold(QuantizationError::default(), |sum, layer| sum.and(layer.error))
}

/// What is left of what is lost, in decibels; nothing where nothing is lost.
fn decibels(error: &QuantizationError) -> Option<f64> {
    (error.lost > 0.0).then(|| -20.0 * error.relative().log10())
}

/// `error 0.52 % (45.7 dB), most in ffn.2: 0.61 %`
fn in_words(layers: &[LayerError]) -> String {
    let error = total(layers);
    let worst = layers.iter().max_by(|a, b| a.error.relative().total_cmp(&b.error.relative()));
    let worst = worst.map_or(String::new(), |layer| {
        let name = layer.name.trim_end_matches(".weight");
        format!(", most in {name}: {:.2} %", 100.0 * layer.error.relative())
    });
    let decibels = decibels(&error).map_or(String::new(), |number| format!(" ({number:.1} dB)"));
    format!("error {:.2} %{decibels}{worst}", 100.0 * error.relative())
}
