// hadal: reads the command line and hands over to one subcommand. The only file that sees CLI11.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

#include "cli/commands.h"

namespace hadal::cli {
namespace {

// What the command line says before it is checked: file, shortcuts and --set key=value.
struct Overrides {
  std::string config_file;
  std::vector<std::pair<std::string, std::string>> values;
};

class CommandLine {
 public:
  explicit CommandLine(Language language)
      : language_(language),
        app_(T("Hadal runs the DeepSeek family on hardware you own.",
               "Hadal：在自有硬件上运行 DeepSeek 系列模型。"),
             "hadal") {
    shared_.language = language;
    Build();
  }

  int Run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& e) {  // --help, --help-all, --version
      return app_.exit(e);
    } catch (const CLI::ParseError& e) {
      return WrongUsage(argc, argv, e);
    } catch (const std::bad_alloc&) {
      std::fprintf(stderr, "hadal: %s\n", T("out of memory", "内存不足"));
      return 1;
    }
    if (exit_code_ == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)) {
      std::fprintf(stderr, "hadal: %s: %s\n", T("writing the output failed", "写出结果失败"),
                   std::strerror(errno));
      return 1;
    }
    return exit_code_;
  }

 private:
  const char* T(const char* en, const char* zh) const {
    return language_ == Language::kChinese ? zh : en;
  }

  int WrongUsage(int argc, char** argv, const CLI::ParseError& e) {
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (!first.empty() && first.front() != '-' &&
        std::find(names_.begin(), names_.end(), first) == names_.end()) {
      std::fprintf(stderr,
                   T("hadal: there is no command '%.*s'; 'hadal help' lists them\n",
                     "hadal：没有命令 '%.*s'；'hadal help' 可列出全部\n"),
                   static_cast<int>(first.size()), first.data());
    } else {
      std::fprintf(stderr, "hadal: %s\n%s\n", e.what(),
                   T("'hadal help COMMAND' shows the options", "'hadal help 命令' 可查看选项"));
    }
    return 2;
  }

  // Options of every subcommand.
  CLI::App* Sub(const char* name, const char* en, const char* zh) {
    CLI::App* sub = app_.add_subcommand(name, T(en, zh))->group(T("Commands", "命令"));
    sub->set_help_flag("-h,--help", T("print this help", "显示帮助"));
    sub->add_flag("--json", shared_.json, T("machine-readable output", "以 JSON 输出"));
    LanguageOption(sub);
    names_.emplace_back(name);
    return sub;
  }
  void LanguageOption(CLI::App* app) {
    app->add_option("--lang", lang_,
                    T("en or zh; otherwise from the locale", "en 或 zh；默认按系统语言"))
        ->check(CLI::IsMember({"en", "zh"}));
  }
  void Shortcut(CLI::App* sub, const char* flag, const char* key) {
    const char* help = "";
    for (const Option& o : Options()) {
      if (std::string_view(o.key) == key) help = T(o.en, o.zh);
    }
    sub->add_option_function<std::string>(
        flag, [this, key](const std::string& v) { overrides_.values.emplace_back(key, v); }, help);
  }
  void AnyOption(CLI::App* sub) {
    sub->add_option("--config", overrides_.config_file,
                    T("hadal.toml with any option", "包含任意选项的 hadal.toml"));
    sub->add_option_function<std::vector<std::string>>(
        "--set",
        [this](const std::vector<std::string>& all) {
          for (const std::string& v : all) {
            const size_t eq = v.find('=');
            if (eq == std::string::npos) throw CLI::ValidationError("--set", "write key=value");
            overrides_.values.emplace_back(v.substr(0, eq), v.substr(eq + 1));
          }
        },
        T("any option as key=value; 'hadal config print' lists them",
          "以 key=value 设置任意选项；'hadal config print' 可列出全部"));
  }
  void ModelOptions(CLI::App* sub) {
    AnyOption(sub);
    Shortcut(sub, "--model", "model.path");
    Shortcut(sub, "--device", "engine.device");
    Shortcut(sub, "--isa", "cpu.isa");
    Shortcut(sub, "--threads", "cpu.threads");
    Shortcut(sub, "--weights", "cpu.weights");
    Shortcut(sub, "--cpu-experts", "cuda.cpu_experts");
  }
  // The shared part is complete only after parsing; commands run from here.
  template <class F>
  void On(CLI::App* sub, F run) {
    sub->callback([this, run] {
      if (!lang_.empty())
        shared_.language = lang_ == "zh" ? Language::kChinese : Language::kEnglish;
      exit_code_ = Prepare();
      if (exit_code_ == 0) exit_code_ = run();
    });
  }
  int Prepare() {
    std::string file = overrides_.config_file;
    if (file.empty()) file = ConfigFileOfEnvironment();
    Status status;
    if (!file.empty()) status = LoadConfigFile(file, shared_.config);
    for (const auto& [key, value] : overrides_.values) {
      const Status set = SetOption(shared_.config, key, value);
      if (set) continue;
      PrintError(shared_, set.error());
      return 2;  // the command line itself is wrong
    }
    if (status) status = Validate(shared_.config);
    return status ? 0 : PrintError(shared_, status.error());
  }

  void Build();
  void BuildServing();
  void BuildTools();
  void BuildQuantize();
  void BuildFiles();
  void BuildInfo();

  Shared shared_;
  Language language_;
  std::string lang_;
  Overrides overrides_;
  CLI::App app_;
  std::vector<std::string> names_;
  int exit_code_ = 0;
  GenerateOptions generate_;
  ChatOptions chat_;
  LogitsOptions logits_;
  TokenizeOptions tokenize_;
  BenchOptions bench_;
  QuantizeOptions quantize_;
  ConvertCommand convert_;
  SynthCommand synth_;
  InspectOptions inspect_;
  std::string path_, shell_;
};

void CommandLine::Build() {
  app_.require_subcommand(1);
  app_.option_defaults()->group(T("Options", "选项"));
  app_.set_help_flag("-h,--help", T("print this help", "显示帮助"));
  LanguageOption(&app_);
  app_.get_formatter()->column_width(34);
  if (language_ == Language::kChinese) {
    const auto f = app_.get_formatter();
    f->label("Usage", "用法");
    f->label("OPTIONS", "选项");
    f->label("SUBCOMMAND", "命令");
    f->label("SUBCOMMANDS", "命令");
    f->label("REQUIRED", "必填");
    f->label("Positionals", "参数");
  }
  app_.add_flag_callback(
      "--version",
      [this] {
        PrintVersion(shared_);
        throw CLI::Success();
      },
      T("version, commit, compiler, instruction sets", "版本、提交、编译器与指令集"));
  BuildServing();
  BuildTools();
  BuildQuantize();
  BuildFiles();
  BuildInfo();
}

void CommandLine::BuildServing() {
  CLI::App* serve =
      Sub("serve", "serve a model over HTTP (OpenAI API)", "通过 HTTP 提供模型服务（OpenAI 接口）");
  ModelOptions(serve);
  Shortcut(serve, "--chat-template", "model.chat_template");
  Shortcut(serve, "--host", "server.host");
  Shortcut(serve, "--port", "server.port");
  Shortcut(serve, "--speculation", "speculation.kind");
  On(serve, [this] { return Serve(shared_); });

  CLI::App* chat = Sub("chat", "chat in the terminal", "在终端中对话");
  ModelOptions(chat);
  Shortcut(chat, "--chat-template", "model.chat_template");
  chat->add_option("--system", chat_.system, T("system message", "系统消息"));
  chat->add_flag_callback(
      "--no-thinking", [this] { chat_.thinking = false; },
      T("answer without reasoning", "不输出思考过程"));
  chat->add_option("--temperature", chat_.temperature, T("0 = greedy", "0 表示贪心"))
      ->check(CLI::Range(0.0, 2.0));
  On(chat, [this] { return Chat(shared_, chat_); });

  CLI::App* generate = Sub("generate", "answer once", "回答一次");
  ModelOptions(generate);
  Shortcut(generate, "--chat-template", "model.chat_template");
  generate
      ->add_option("prompt", generate_.prompt,
                   T("the question; - reads stdin", "问题；- 表示从标准输入读取"))
      ->required();
  generate->add_option("--system", generate_.system, T("system message", "系统消息"));
  generate->add_flag("--raw", generate_.raw,
                     T("continue the text, no chat format", "不使用对话格式，直接续写"));
  generate->add_flag_callback(
      "--no-thinking", [this] { generate_.thinking = false; },
      T("answer without reasoning", "不输出思考过程"));
  generate
      ->add_option("--max-tokens", generate_.max_tokens, T("longest answer", "回答的最大 token 数"))
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  generate->add_option("--temperature", generate_.temperature, T("0 = greedy", "0 表示贪心"))
      ->check(CLI::Range(0.0, 2.0));
  generate->add_option("--seed", generate_.seed, T("same seed, same tokens", "种子相同则结果相同"));
  On(generate, [this] { return Generate(shared_, generate_); });
}

void CommandLine::BuildTools() {
  CLI::App* logits = Sub(
      "logits", "logits of every position, as safetensors; on the CPU unless --device says cuda",
      "输出每个位置的 logits（safetensors）；除非 --device 指定 cuda，否则在 CPU 上计算");
  ModelOptions(logits);
  logits
      ->add_option("--ids", logits_.ids_path, T("JSON array of token ids", "token id 的 JSON 数组"))
      ->required();
  logits->add_option("--out", logits_.out_path, T("file to write", "输出文件"))->required();
  logits->add_option("--chunk", logits_.chunk, T("prompt tokens per step", "每步处理的 token 数"))
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  On(logits, [this] { return Logits(shared_, logits_); });

  CLI::App* tokenize =
      Sub("tokenize", "text to ids and back (stdin)", "文本与 token id 互转（标准输入）");
  ModelOptions(tokenize);
  tokenize->add_flag("--decode", tokenize_.decode, T("ids to text", "由 id 还原文本"));
  tokenize->add_flag("--jsonl", tokenize_.jsonl, T("one JSON value per line", "每行一个 JSON 值"));
  tokenize->add_flag("--no-special", tokenize_.no_special,
                     T("special tokens in the text stay text", "文本中的特殊 token 视为普通文本"));
  On(tokenize, [this] { return Tokenize(shared_, tokenize_); });

  CLI::App* bench =
      Sub("bench", "tokens per second beside the machine's limits", "测速，并与本机上限对照");
  ModelOptions(bench);
  bench->add_option("--prompt", bench_.prompts, T("prompt lengths", "提示词长度"))
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  bench->add_option("--batch", bench_.batches, T("batch sizes", "批大小"))
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1024}));
  bench->add_option("--generate", bench_.generate, T("tokens to generate", "生成的 token 数"))
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  bench->add_option("--repeat", bench_.repeat, T("measurements per row", "每行测量次数"))
      ->check(CLI::Range(int64_t{1}, int64_t{1000}));
  bench->add_flag(
      "--cold", bench_.cold,
      T("drop the model's files from the page cache before loading", "加载前将模型文件移出页缓存"));
  bench
      ->add_option("--chunk", bench_.chunk,
                   T("prompt tokens per step", "每步处理的提示词 token 数"))
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  bench
      ->add_option("--depth", bench_.depth,
                   T("tokens already in the cache, of random contents",
                     "测量前缓存中已有的 token 数（随机内容）"))
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  bench->add_option("--vs", bench_.vs,
                    T("bench program of another engine, run alternately on the same GGUF",
                      "另一引擎的测速程序：在同一 GGUF 上交替运行"));
  bench->add_option("--vs-arg", bench_.vs_args,
                    T("an argument of its own to pass on (repeatable, --vs-arg=-rtr)",
                      "传给它的附加参数（可重复，如 --vs-arg=-rtr）"));
  bench->add_flag(
      "--profile", bench_.profile,
      T("print where the time of the last measurement went", "打印最后一次测量的时间分布"));
  Shortcut(bench, "--speculation", "speculation.kind");
  On(bench, [this] { return Bench(shared_, bench_); });
}

void CommandLine::BuildQuantize() {
  CLI::App* quantize = Sub("quantize", "convert a model and measure, on the CPU, what that costs",
                           "转换模型并在 CPU 上测量损失");
  quantize->add_option("in", quantize_.in, T("model to convert", "要转换的模型"))->required();
  quantize
      ->add_option(
          "out", quantize_.out,
          T("new .gguf file or safetensors directory", "新的 .gguf 文件或 safetensors 目录"))
      ->required();
  quantize->add_option("--type", quantize_.type, T("one of: ", "可选：") + TypeNames())->required();
  quantize->add_option(
      "--budget", quantize_.budget,
      T("accepted loss: kl, p99, ppl, exact, f1 (at most), top1 (at least); nothing is kept over "
        "it",
        "可接受的损失：kl、p99、ppl、exact、f1 为上限，top1 为下限；超出则不保留输出"));
  quantize->add_option("--data", quantize_.data,
                       T("own texts and tasks, as JSON Lines", "自己的文本与任务（JSON Lines）"));
  quantize
      ->add_option("--positions", quantize_.positions,
                   T("positions of text to measure", "测量的文本位置数"))
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 24));
  quantize
      ->add_option("--answer-tokens", quantize_.answer_tokens,
                   T("longest answer to a task", "任务回答的最大 token 数"))
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  AnyOption(quantize);
  Shortcut(quantize, "--isa", "cpu.isa");
  Shortcut(quantize, "--threads", "cpu.threads");
  Shortcut(quantize, "--weights", "cpu.weights");
  On(quantize, [this] { return Quantize(shared_, quantize_); });
}

void CommandLine::BuildFiles() {
  CLI::App* inspect =
      Sub("inspect", "what a model file is and what is wrong with it", "查看模型文件的内容与问题");
  inspect->add_option("path", inspect_.path, T("model directory or file", "模型目录或文件"))
      ->required();
  inspect->add_flag("--deep", inspect_.deep,
                    T("read every weight, look for NaN", "读取全部权重，检查 NaN"));
  AnyOption(inspect);
  Shortcut(inspect, "--threads", "cpu.threads");
  On(inspect, [this] { return Inspect(shared_, inspect_); });

  CLI::App* convert = Sub("convert", "a model in another format or type (safetensors, GGUF)",
                          "转换模型的格式或精度（safetensors、GGUF）");
  convert->add_option("in", convert_.in, T("model to read", "要读取的模型"))->required();
  convert
      ->add_option("out", convert_.out,
                   T("name.gguf, or a directory to make", "name.gguf，或要新建的目录"))
      ->required();
  convert->add_option("--type", convert_.type, T("one of: ", "可选：") + TypeNames())->required();
  Shortcut(convert, "--threads", "cpu.threads");
  On(convert, [this] { return Convert(shared_, convert_); });

  CLI::App* synth = Sub("synth", "a model of a published shape with random weights",
                        "按已发布模型的形状生成随机权重");
  synth->add_option("--shape", synth_.shape, T("one of: ", "可选：") + ShapeNames())->required();
  synth->add_option("--type", synth_.type, T("one of: ", "可选：") + TypeNames())->required();
  synth->add_option("--out", synth_.out, T("file or directory to make", "要新建的文件或目录"))
      ->required();
  synth->add_option("--format", synth_.format, T("gguf or safetensors", "gguf 或 safetensors"))
      ->check(CLI::IsMember({"gguf", "safetensors"}));
  synth->add_option("--layers", synth_.layers, T("only the first so many", "只生成前若干层"))
      ->check(CLI::Range(int64_t{1}, int64_t{1000}));
  synth->add_option("--seed", synth_.seed, T("same seed, same bytes", "种子相同则字节相同"));
  Shortcut(synth, "--threads", "cpu.threads");
  On(synth, [this] { return Synth(shared_, synth_); });
}

void CommandLine::BuildInfo() {
  CLI::App* config = Sub("config", "check or print the configuration", "检查或打印配置");
  config->require_subcommand(1);
  CLI::App* check = config->add_subcommand("check", T("check a hadal.toml", "检查 hadal.toml"))
                        ->group(T("Commands", "命令"));
  check->add_flag("--json", shared_.json, T("machine-readable output", "以 JSON 输出"));
  LanguageOption(check);
  check->add_option("file", path_, T("file to check", "要检查的文件"))->required();
  On(check, [this] { return ConfigCheck(shared_, path_); });
  CLI::App* print = config
                        ->add_subcommand("print", T("every option with its value, as hadal.toml",
                                                    "以 hadal.toml 格式打印全部选项"))
                        ->group(T("Commands", "命令"));
  LanguageOption(print);
  ModelOptions(print);
  On(print, [this] { return ConfigPrint(shared_); });

  CLI::App* errors = Sub("errors", "the error catalogue", "错误码目录");
  On(errors, [this] { return PrintErrors(shared_); });
  CLI::App* version =
      Sub("version", "version, commit, compiler, instruction sets", "版本、提交、编译器与指令集");
  On(version, [this] { return PrintVersion(shared_); });
  CLI::App* completion = Sub("completion", "shell completion script", "输出 shell 补全脚本");
  completion->add_option("shell", shell_, "bash, zsh, fish")->required();
  On(completion, [this] { return PrintCompletion(shell_, names_); });
  CLI::App* help = Sub("help", "this text, or that of one command", "显示本帮助或某个命令的帮助");
  help->add_option("command", path_, T("command to explain", "要说明的命令"))
      ->check(CLI::IsMember(names_));
  help->callback([this] {
    CLI::App* app = path_.empty() ? &app_ : app_.get_subcommand(path_);
    const std::string name = path_.empty() ? "hadal" : "hadal " + path_;
    std::fputs(app->get_formatter()->make_help(app, name, CLI::AppFormatMode::Normal).c_str(),
               stdout);
  });
}

// --lang decides the language of the help itself, so it is looked for before parsing.
Language LanguageOf(int argc, char** argv) {
  Language language = LanguageOfLocale();
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const std::string_view value = arg == "--lang" && i + 1 < argc ? argv[i + 1]
                                   : arg.substr(0, 7) == "--lang=" ? arg.substr(7)
                                                                   : "";
    if (value == "zh") language = Language::kChinese;
    if (value == "en") language = Language::kEnglish;
  }
  return language;
}

}  // namespace
}  // namespace hadal::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit of a file's size fails instead
  const hadal::Language language = hadal::cli::LanguageOf(argc, argv);
  if (argc == 1) {
    char help[] = "help";
    char* args[] = {argv[0], help, nullptr};
    return hadal::cli::CommandLine(language).Run(2, args);
  }
  return hadal::cli::CommandLine(language).Run(argc, argv);
}
