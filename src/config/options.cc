#include <algorithm>
#include <array>

#include "config/config.h"

namespace hadal {
namespace {

const char* WrongBytes(std::string_view value) {
  return ParseBytes(value) ? nullptr : "it must be an amount of memory, for example 2GiB";
}
const char* WrongAutoBytes(std::string_view value) {
  return value == "auto" || ParseBytes(value)
             ? nullptr
             : "it must be auto or an amount of memory, for example 2GiB";
}
const char* WrongLayers(std::string_view value) {
  return ParseCpuExperts(value) ? nullptr : "it must be auto or a number of layers from 0 to 1000";
}

#define REF(member) [](Config& c) -> Option::Ref { return &c.member; }

// The model and how it is reached.
constexpr std::array kServing = {
    Option{"model.path", REF(model.path), 0, 0, "", false,
           "a .gguf file or a directory of safetensors; empty: the built-in model",
           "GGUF 文件或 safetensors 模型目录；留空则使用内置模型"},
    Option{"model.name", REF(model.name), 0, 0, "", false,
           "name that callers write into \"model\"; empty: the name of the file or directory",
           "对外提供的模型名；留空则用文件或目录名"},
    Option{
        "model.chat_template", REF(model.chat_template), 0, 0, "", false,
        "'auto': the format Hadal knows for the model, else its template; 'checkpoint': its "
        "template; 'deepseek-v3', '-r1', '-v3.1', '-v3.2' or '-v4': that format; or a Jinja file",
        "'auto'：使用 Hadal 内置的对话格式，没有时用模型自带模板；'checkpoint'：模型自带模板；"
        "'deepseek-v3'、'-r1'、'-v3.1'、'-v3.2' 或 '-v4'：指定该格式；或 Jinja 文件路径"},
    Option{"server.host", REF(server.host), 0, 0, "", false,
           "address to listen on; anything but loopback needs an API key",
           "监听地址；非本机回环地址必须配置 API key"},
    Option{"server.port", REF(server.port), 0, 65535, "", false, "TCP port; 0: any free port",
           "TCP 端口；0 表示任意空闲端口"},
    Option{"server.api_keys", REF(server.api_keys), 0, 0, "", true,
           "keys that callers must send as 'Authorization: Bearer KEY'",
           "调用方须以 'Authorization: Bearer KEY' 发送的 key"},
    Option{"server.api_key_file", REF(server.api_key_file), 0, 0, "", false,
           "file with one API key per line; keeps keys out of the command line",
           "每行一个 API key 的文件，避免 key 出现在命令行"},
    Option{"server.hosts", REF(server.hosts), 0, 0, "", false,
           "further values of the Host header to answer for", "额外允许的 Host 头"},
    Option{"server.tls_cert", REF(server.tls_cert), 0, 0, "", false,
           "PEM certificate chain; with tls_key turns on HTTPS",
           "PEM 证书链；与 tls_key 一起启用 HTTPS"},
    Option{"server.tls_key", REF(server.tls_key), 0, 0, "", false, "PEM private key", "PEM 私钥"},
    Option{"server.max_body_bytes", REF(server.max_body_bytes), 1024, 1 << 30, "", false,
           "largest request body", "请求体上限（字节）"},
    Option{"server.max_header_bytes", REF(server.max_header_bytes), 1024, 1 << 20, "", false,
           "largest request head", "请求头上限（字节）"},
    Option{"server.max_connections", REF(server.max_connections), 1, 1000000, "", false,
           "open connections; over it the oldest idle one is closed",
           "最大连接数；超出时关闭最久空闲的连接"},
    Option{"server.header_timeout_s", REF(server.header_timeout_s), 0.1, 3600, "", false,
           "time for a client to send its headers", "客户端发送请求头的时限（秒）"},
    Option{"server.body_timeout_s", REF(server.body_timeout_s), 0.1, 3600, "", false,
           "time for a client to send its body", "客户端发送请求体的时限（秒）"},
    Option{"server.idle_timeout_s", REF(server.idle_timeout_s), 0.1, 86400, "", false,
           "keep-alive time between requests", "空闲连接保持时间（秒）"},
    Option{"server.write_stall_timeout_s", REF(server.write_stall_timeout_s), 0.1, 3600, "", false,
           "a client that reads nothing for so long is dropped", "客户端停止读取多久后断开（秒）"},
    Option{"server.drain_timeout_s", REF(server.drain_timeout_s), 0, 3600, "", false,
           "after SIGTERM, time for running answers to finish",
           "收到 SIGTERM 后等待回答完成的时间（秒）"},
    Option{"server.request_timeout_s", REF(server.request_timeout_s), 0, 86400, "", false,
           "an answer that takes longer ends with an error; 0: no limit",
           "单个回答的时限（秒）；0 表示不限"},
    Option{"server.unknown_fields", REF(server.unknown_fields), 0, 0, "ignore|refuse", false,
           "what to do with request fields that Hadal does not know",
           "遇到未知请求字段时忽略还是拒绝"},
    Option{"server.access_log", REF(server.access_log), 0, 0, "", false,
           "file for the JSON access log, 'stderr' or 'off'",
           "JSON 访问日志文件、'stderr' 或 'off'"},
};

// How it is computed.
constexpr std::array kComputing = {
    Option{"engine.device", REF(engine.device), 0, 0, "cpu|cuda|auto|cuda_emulated", false,
           "where the model runs: auto: an NVIDIA GPU when there is one, else the CPU; cpu; cuda; "
           "cuda_emulated: the GPU's kernels on the CPU, for tests, very slow",
           "模型运行的位置：auto：有 NVIDIA GPU 则使用，否则用 CPU；cpu；cuda；cuda_emulated：在 "
           "CPU 上模拟 "
           "GPU 内核，仅供测试，非常慢"},
    Option{"engine.max_sequences", REF(engine.max_sequences), 1, 1024, "", false,
           "answers generated at the same time", "同时生成的回答数"},
    Option{"engine.max_queued", REF(engine.max_queued), 1, 100000, "", false,
           "waiting requests; over it: 429 with Retry-After",
           "排队请求数上限；超出返回 429 与 Retry-After"},
    Option{"engine.max_step_tokens", REF(engine.max_step_tokens), 16, 65536, "", false,
           "tokens computed in one step", "每步计算的 token 数上限"},
    Option{
        "engine.prefill_chunk", REF(engine.prefill_chunk), 1, 65536, "", false,
        "prompt tokens of one request in one step beside answers; with AMX a step without answers "
        "is filled",
        "有回答同时生成时每步处理单个请求的提示词 token 数；使用 AMX 且无回答时填满一步"},
    Option{"engine.context", REF(engine.context), 0, 1 << 24, "", false,
           "longest prompt plus answer; 0: the model's own limit",
           "上下文长度上限；0 表示模型自身上限"},
    Option{"engine.prefix_cache", REF(engine.prefix_cache), 0, 0, "", false,
           "reuse the cache of prompts that begin alike", "复用相同前缀的 KV 缓存"},
    Option{"engine.kv_memory", REF(engine.kv_memory), 0, 0, "", false,
           "memory for the KV cache: 'auto', or bytes such as 2GiB",
           "KV 缓存内存：'auto' 或如 2GiB", WrongAutoBytes},
    Option{"engine.block_tokens", REF(engine.block_tokens), 8, 256, "", false,
           "tokens per cache block", "每个缓存块的 token 数"},
    Option{"speculation.kind", REF(speculation.kind), 0, 0, "off|ngram|mtp|auto", false,
           "guess tokens and check several in one step: the same answers, sooner. ngram: what "
           "followed the same tokens earlier; mtp: the checkpoint's multi-token prediction layer; "
           "auto: mtp where there is one, else ngram",
           "推测解码：先猜测若干 token 再于一步内验证，回答不变而更快。ngram：上文相同 token "
           "之后的内容；mtp：模型自带的多 token 预测层；auto：有则用 mtp，否则用 ngram"},
    Option{"speculation.max_draft", REF(speculation.max_draft), 1, 64, "", false,
           "guessed tokens of one step; one less for each answer beside the first",
           "每步猜测的 token 数上限；每多一个同时生成的回答减一"},
    Option{"cpu.isa", REF(cpu.isa), 0, 0, "auto|ref|avx2|avx512|amx|amx_emulated", false,
           "instruction set; auto: the best this CPU has", "指令集；auto 为本机最佳"},
    Option{"cpu.threads", REF(cpu.threads), 0, 1024, "", false,
           "threads; 0: what the affinity mask and the cgroup quota allow",
           "线程数；0 表示按亲和掩码与 cgroup 配额决定"},
    Option{"cpu.weights", REF(cpu.weights), 0, 0, "f32|bf16|int8", false,
           "resident format of the weight matrices; bf16 keeps F16 and quantised ones as stored",
           "权重矩阵在内存中的格式；bf16 时 F16 与量化矩阵按原样保留"},
    Option{"cpu.kv_dtype", REF(cpu.kv_dtype), 0, 0, "f32|bf16", false,
           "element type of the KV cache", "KV 缓存的元素类型"},
    Option{"cpu.exact_prompts", REF(cpu.exact_prompts), 0, 0, "", false,
           "with AMX or AVX512_BF16: compute prompts as exactly as answers, slower",
           "有 AMX 或 AVX512_BF16 时：提示词按与回答相同的精度计算（较慢）"},
    Option{
        "cpu.weight_memory", REF(cpu.weight_memory), 0, 0, "", false,
        "memory for weights: 'auto' (what is available), or bytes such as 16GiB; matrices that "
        "do not fit are read from the file at every use, which is slow",
        "权重可用内存：'auto'（按可用内存）或如 16GiB；放不下的矩阵每次使用时从文件读取，速度较慢",
        WrongAutoBytes},
};

// The same on a GPU.
constexpr std::array kGpu = {
    Option{"cuda.card", REF(cuda.card), 0, 1023, "", false,
           "number of the GPU, as nvidia-smi lists them", "GPU 编号（与 nvidia-smi 一致）"},
    Option{
        "cuda.weights", REF(cuda.weights), 0, 0, "f32|bf16", false,
        "resident format of the weight matrices on the GPU; bf16 keeps F16, FP8 and quantised ones "
        "as stored",
        "权重矩阵在 GPU 上的格式；bf16 时 F16、FP8 与量化矩阵按原样保留"},
    Option{"cuda.kv_dtype", REF(cuda.kv_dtype), 0, 0, "f32|bf16|fp8", false,
           "element type of the KV cache on the GPU; fp8: E4M3 in groups with a scale each",
           "GPU 上 KV 缓存的元素类型；fp8 为 E4M3，每组一个比例因子"},
    Option{"cuda.prompts", REF(cuda.prompts), 0, 0, "exact|auto|rounded", false,
           "how the GPU computes prompts: exact: like answers, slow; rounded: in bf16, as other "
           "engines do; auto: rounded, but exact in models whose experts are not quantised, where "
           "rounding chooses other experts",
           "GPU 如何计算提示词：exact 与回答同样精确，较慢；rounded 以 bf16 "
           "计算，与其他引擎相同；auto "
           "同 rounded，但专家未量化的模型保持精确，因为舍入会选择不同的专家"},
    Option{"cuda.answers", REF(cuda.answers), 0, 0, "exact|rounded", false,
           "how the GPU computes attention of answers with MLA of 64 or more heads: exact: queries "
           "and probabilities in two bf16 parts; rounded: in one, as other engines do, up to twice "
           "as fast",
           "GPU 如何计算 MLA 模型（64 个头及以上）回答的注意力：exact 将查询与概率拆成两个 bf16 "
           "部分；rounded 只用一个，与其他引擎相同，最多快一倍"},
    Option{"cuda.graphs", REF(cuda.graphs), 0, 0, "", false,
           "record the launches of a step of answers and repeat them",
           "录制并重放回答步骤的内核启动"},
    Option{"cuda.reserve", REF(cuda.reserve), 0, 0, "", false,
           "GPU memory left free for others, in bytes such as 1GiB",
           "为其他程序保留的 GPU 内存，如 1GiB", WrongBytes},
    Option{
        "cuda.cpu_experts", REF(cuda.cpu_experts), 0, 0, "", false,
        "layers, the last ones, whose routed experts stay in host memory and are computed by the "
        "CPU beside a GPU: 'auto' (as few as the GPU's memory asks for), or a number such as 20; "
        "0: none",
        "使用 GPU 时，末尾多少层的路由专家留在主机内存并由 CPU 计算：'auto'（按 GPU "
        "内存所需的最少层数）或层数如 20；0 表示没有",
        WrongLayers},
};
#undef REF

template <size_t a, size_t b>
constexpr std::array<Option, a + b> Join(const std::array<Option, a>& first,
                                         const std::array<Option, b>& second) {
  std::array<Option, a + b> all = {};
  std::copy(first.begin(), first.end(), all.begin());
  std::copy(second.begin(), second.end(), all.begin() + a);
  return all;
}
constexpr auto kOptions = Join(Join(kServing, kComputing), kGpu);

}  // namespace

std::span<const Option> Options() { return kOptions; }

}  // namespace hadal
