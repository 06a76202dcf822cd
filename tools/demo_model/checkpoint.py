"""From the training model to an ordinary DeepSeek-V3 safetensors checkpoint, and the rounding it implies.

Linear weights become FP8 e4m3 with one float32 `weight_scale_inv` per 128x128 block; embedding, head, norms and the
router stay BF16, the selection bias float32. `fake_quantise` applies the same rounding during training.
"""

import json
import os

import torch
from safetensors.torch import save_file

BLOCK = 128


def quantise(w):
    """(e4m3 values, scale_inv [ceil(rows/128), ceil(cols/128)], dequantised float32)."""
    rows, cols = w.shape
    br, bc = -(-rows // BLOCK), -(-cols // BLOCK)
    padded = torch.zeros(br * BLOCK, bc * BLOCK, device=w.device)
    padded[:rows, :cols] = w.float()
    blocks = padded.view(br, BLOCK, bc, BLOCK)
    scale = blocks.abs().amax((1, 3)).clamp_min(1e-12) / 448.0
    q = (blocks / scale[:, None, :, None]).clamp(-448, 448).to(torch.float8_e4m3fn)
    back = (q.float() * scale[:, None, :, None]).reshape(padded.shape)[:rows, :cols]
    return q.reshape(padded.shape)[:rows, :cols].contiguous(), scale.contiguous(), back.contiguous()


def is_fp8(name):
    return name.endswith(("_proj.weight", "_rows", "proj_with_mqa.weight"))


def rounded(name, w):
    """The value that the exported file will hold for this parameter. Stacked experts are [experts*128, hidden]:
    their 128x128 blocks are exactly those of the single experts (down blocks transposed)."""
    return quantise(w)[2] if is_fp8(name) else w.bfloat16().float()


def tensors(model):
    """Checkpoint name -> (float32 weight, is fp8)."""
    s, out = model.s, {}
    for name, p in model.state_dict().items():
        p = p.detach().float()
        if name.startswith("lm_head"):
            out[name] = (p, False)
        elif "_rows" in name:
            base, kind = name.rsplit(".", 1)
            proj = kind.replace("_rows", "_proj.weight")
            turn = (lambda t: t.t()) if kind == "down_rows" else (lambda t: t)
            if p.shape[0] == s.dense_ffn and base == "layers.0.mlp":
                out[f"model.{base}.{proj}"] = (turn(p), True)
                continue
            for e in range(s.experts + 1):
                part = p[e * s.expert_ffn:(e + 1) * s.expert_ffn]
                where = f"experts.{e}" if e < s.experts else "shared_experts"
                out[f"model.{base}.{where}.{proj}"] = (turn(part), True)
        elif name.endswith(".router"):
            out[f"model.{name[:-7]}.gate.weight"] = (p, False)
        elif name.endswith(".bias"):
            out[f"model.{name[:-5]}.gate.e_score_correction_bias"] = (p, None)
        elif not name.endswith(".load"):
            out[f"model.{name}"] = (p, is_fp8(name))
    return out


def export(model, folder, plain_folder=None):
    """Writes config.json and model.safetensors; plain_folder gets the same values dequantised to float32."""
    files, plain = {}, {}
    for name, (w, fp8) in tensors(model).items():
        w = w.cpu().contiguous()
        if fp8:
            files[name], files[name.replace(".weight", ".weight_scale_inv")], plain[name] = quantise(w)
        elif fp8 is None:
            files[name] = plain[name] = w
        else:
            files[name] = w.bfloat16()
            plain[name] = files[name].float()
    os.makedirs(folder, exist_ok=True)
    save_file(files, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    config = model.s.config()
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")
    if plain_folder:
        os.makedirs(plain_folder, exist_ok=True)
        save_file(plain, os.path.join(plain_folder, "model.safetensors"), {"format": "pt"})
        config.pop("quantization_config")
        config["torch_dtype"] = "float32"
        with open(os.path.join(plain_folder, "config.json"), "w") as f:
            json.dump(config, f)
    return plain
