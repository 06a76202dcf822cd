// The built-in evaluation texts. Changing a word changes every figure measured with them, so a
// change needs a new name in BuiltInEvaluationData.
#include "measure/evaluation_data.h"

namespace hadal {
namespace {

constexpr const char* kEnglishHarbour = R"(The ferry left the harbour a little after six, when the
lamps along the quay were still burning and the gulls had only begun to argue over the night's
scraps. Marta stood at the stern with her collar up. She had crossed this water some forty times in
her life, first in a basket, then holding her grandfather's sleeve, later alone with a suitcase that
was always too heavy, and she could have drawn the outline of the islands from memory: the long one
with the lighthouse, the two that lay together like sleeping dogs, and the bare rock where nobody
had ever managed to build anything that lasted longer than a winter.

Her grandfather used to say that the sea kept accounts. Whatever you took from it, a net of herring
or a calm afternoon, was written down somewhere, and one day the bill arrived. He said this without
bitterness, in the same voice in which he explained how to mend a pump or why bread should be cut
only when it is cold. When she was nine she asked him what he owed. He thought for a while, counting
on his fingers, and answered that he had lost the sum but remembered the interest.

Now the house on the long island had been sold, and she was going to fetch the last of the boxes.
The buyer was a quiet man from the mainland who repaired clocks. He had written that the kitchen
floor would have to come up because the beams beneath it were wet, and that under the boards he had
found a tin with letters in it. He had not read them, he wrote, although the first one was not in an
envelope and it was difficult to fold a page without seeing some of the words.
)";

constexpr const char* kEnglishScience = R"(Most of the heat that reaches the surface of a lake in
summer stays near the top. Warm water is lighter than cold water, so it floats, and the wind that
ruffles the surface can only stir it down to a certain depth. Below that depth lies a layer, seldom
more than a few metres thick, in which the temperature falls quickly; below this again, the water is
cold, dark and nearly still until autumn. A swimmer who lets her legs hang down on a hot day can
feel the boundary with her feet.

The consequences are larger than a chilly surprise. Oxygen enters a lake from the air and from
plants that grow where there is light. The deep water receives neither, and for months it must live
on what it took down in spring. Every leaf and every dead alga that sinks is eaten by bacteria, and
they breathe. If the lake is rich in nutrients, there is a great deal to eat, and by late August the
oxygen near the bottom may be gone. Fish that need cold water are then caught between two layers:
above them it is too warm, below them they cannot breathe.

In autumn the surface cools until it is no lighter than the water underneath, and a single stormy
night can turn the whole lake over. Measurements from three stations showed that the mixing took
about nine hours: at 21:00 the difference between one metre and twenty metres was 4.6 degrees, at
03:00 it was 1.1 degrees, and at 06:00 it could not be distinguished from zero within the accuracy
of the instruments, which is 0.05 degrees. A model that treats the lake as a column of boxes
reproduces the timing but not the depth, because it knows nothing of the bay on the western side.
)";

constexpr const char* kChineseProse =
    R"(老周在巷口修了三十年自行车。早上七点，他把铁皮箱子一件件搬出来：扳手挂在墙上，
补胎的胶水放在窗台，打气筒立在门边，谁都可以用，不收钱。夏天他在头顶撑一把褪色的大伞，冬天就生一个小煤炉，
炉子上永远坐着一壶水。街坊们路过，总要停下来说两句话：谁家的孩子考上了外地的大学，菜市场的豆角又涨了五毛，
河边的那排老房子到底拆不拆。他一边听，一边转动车轮，耳朵贴近轴承，像医生听病人的心跳。

后来骑自行车的人少了，又后来，满街都是扫码就能骑走的车，坏了也轮不到他修。女儿劝他回家歇着，他不肯。他说，
手闲下来，人就老得快。去年春天，巷子里搬来一个年轻人，在网上卖手工做的木头玩具。年轻人的锯子坏了，试着来问
他，他看了看，当天下午就修好了，只收了一根电线的钱。从那以后，老周的铁皮箱旁边多了一张小桌子，上面摆着几只
会点头的木鸭子。小学放学的时候，孩子们围在桌前，一个一个地拨弄鸭子的头，老周就在旁边笑，手里的活儿也不停。

有一天下雨，没有生意，年轻人问他，这么多年，修过最难的是什么。老周想了很久，说不是车。有个姑娘推着一辆旧车来，
链条锈死了，车架也裂了，怎么算都不值得修。可那是她父亲留下的。他花了整整三天，把能换的都换了，只有车把和铃铛
留着。姑娘来取的时候按了一下铃，声音跟从前一样。她什么也没说，站在那里哭了一会儿，然后骑着车走了。
)";

constexpr const char* kChineseScience =
    R"(水库在调度时要同时回答三个问题：留多少水发电，放多少水灌溉，空出多少库容防洪。
这三个目标往往互相冲突。汛期之前如果把水位降得太低，万一雨季推迟，下游的农田就会缺水；如果降得不够，一场暴雨
就可能逼近警戒线。过去的做法是根据多年平均的来水量制定一张调度图，每个月对应一个水位范围，操作人员照图执行。
这种办法简单可靠，但它假定将来和过去一样。

近二十年来，气象预报的准确率有了明显提高。三天以内的降雨预报误差已经不到百分之二十，七天的预报也能分辨出大致的
趋势。于是工程师开始尝试“预报调度”：每天根据最新的预报重新计算一次，允许水位在一定范围内偏离调度图。以某座中型
水库为例，总库容为 3.2 亿立方米，汛限水位 148.5 米。采用新方法之后，平均每年多发电约 1900 万千瓦时，同时最高
水位没有超过 150.1 米，低于设计值 1.4 米。

不过，新方法也带来了新的风险。预报越准，人们就越依赖它；一旦预报失误，可供补救的时间反而更短。因此规程要求保留
一条不可逾越的底线：无论预报如何，只要实测水位达到 149.8 米，闸门必须在两小时之内按照固定的顺序开启。换句话说，
聪明的部分负责效益，笨的部分负责安全。这个原则并不只适用于水库。
)";

constexpr const char* kCode = R"(#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

// Merges overlapping intervals. The result is sorted by start and no two of its intervals touch.
struct Interval {
  int64_t start = 0;  // inclusive
  int64_t end = 0;    // exclusive
};

std::vector<Interval> Merge(std::vector<Interval> intervals) {
  std::sort(intervals.begin(), intervals.end(),
            [](const Interval& a, const Interval& b) { return a.start < b.start; });
  std::vector<Interval> out;
  for (const Interval& next : intervals) {
    if (next.start >= next.end) continue;  // empty
    if (!out.empty() && next.start <= out.back().end) {
      out.back().end = std::max(out.back().end, next.end);
    } else {
      out.push_back(next);
    }
  }
  return out;
}

def parse_duration(text: str) -> float:
    """'1h30m' -> 5400.0; '45s' -> 45.0. Raises ValueError for anything else."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    total, number = 0.0, ""
    for character in text.strip():
        if character.isdigit() or character == ".":
            number += character
        elif character in units and number:
            total += float(number) * units[character]
            number = ""
        else:
            raise ValueError(f"unexpected {character!r} in {text!r}")
    if number:
        raise ValueError(f"{text!r} ends without a unit")
    return total

SELECT c.name, COUNT(*) AS orders, SUM(o.amount) AS total
FROM customers AS c
JOIN orders AS o ON o.customer_id = c.id
WHERE o.created_at >= '2024-01-01' AND o.status <> 'cancelled'
GROUP BY c.name
HAVING SUM(o.amount) > 1000
ORDER BY total DESC
LIMIT 20;
)";

constexpr const char* kJson = R"({
  "order": {
    "id": "A-20391",
    "created": "2024-05-17T09:42:11Z",
    "customer": {"name": "Ines Okafor", "email": "ines@example.org", "vip": false},
    "items": [
      {"sku": "LAMP-07", "title": "Desk lamp, brass", "quantity": 2, "unit_price": 48.50},
      {"sku": "CBL-112", "title": "USB-C cable, 2 m", "quantity": 5, "unit_price": 7.20},
      {"sku": "NB-A5", "title": "Notebook A5, ruled", "quantity": 12, "unit_price": 3.15}
    ],
    "discount": {"code": "SPRING", "percent": 10},
    "shipping": {"method": "courier", "cost": 9.90, "address": {"city": "Lagos", "zip": "101241"}},
    "totals": {"goods": 170.80, "discount": 17.08, "shipping": 9.90, "due": 163.62},
    "notes": null
  }
}
{"名称": "温度传感器", "型号": "TS-204", "量程": [-40, 125], "单位": "℃", "精度": 0.5, "库存": 318}
{"level": "warn", "time": 1715938931.204, "service": "billing", "message": "retry 2 of 5",
 "context": {"invoice": 88123, "elapsed_ms": 1503, "host": "node-3"}}
[server]
host = "127.0.0.1"
port = 8443
timeouts = { read = "10s", write = "30s" }
[[route]]
path = "/status"
methods = ["GET", "HEAD"]
| month | visits | orders | rate |
|-------|-------:|-------:|-----:|
| Jan   |  18240 |    412 | 2.3% |
| Feb   |  17655 |    398 | 2.3% |
| Mar   |  21017 |    533 | 2.5% |
)";

constexpr const char* kMathematics =
    R"(Problem. A tank holds 240 litres. One pipe fills it in 6 hours, a
second pipe fills it in 4 hours, and a drain empties a full tank in 12 hours. All three are open and
the tank is empty at noon. When is it full?

Solution. The first pipe brings 240 / 6 = 40 litres per hour, the second 240 / 4 = 60, and the drain
takes 240 / 12 = 20. Together the level rises by 40 + 60 - 20 = 80 litres per hour, so the tank is
full after 240 / 80 = 3 hours, that is, at 15:00.

Claim. The sum of the first n odd numbers is n^2. Proof by induction: for n = 1 the sum is 1 = 1^2.
Suppose 1 + 3 + ... + (2n - 1) = n^2. Adding the next odd number gives n^2 + (2n + 1) = (n + 1)^2,
which is the claim for n + 1. Therefore it holds for every positive integer.

题目：一个两位数，十位数字比个位数字大 3，把两个数字交换后得到的新数与原数之和是 121，求原数。
解：设个位数字为 x，则十位数字为 x + 3。原数为 10(x + 3) + x = 11x + 30，新数为 10x + (x + 3) = 11x + 3。
两数之和 22x + 33 = 121，所以 22x = 88，x = 4。十位数字是 7，原数是 74。检验：74 + 47 = 121，正确。

Let f(x) = x^3 - 6x^2 + 9x + 1. Then f'(x) = 3x^2 - 12x + 9 = 3(x - 1)(x - 3), so the critical points
are x = 1 and x = 3. Since f''(x) = 6x - 12, we have f''(1) = -6 < 0, a local maximum with f(1) = 5,
and f''(3) = 6 > 0, a local minimum with f(3) = 1. The mean of f on [0, 4] is one quarter of the
integral: (64 - 128 + 72 + 4) / 4 = 12 / 4 = 3.
)";

constexpr const char* kDialogue =
    R"(User: I spilled coffee on my keyboard. It still works, mostly, but
the space bar sticks. What should I do?
Assistant: Unplug it first, or switch it off if it is wireless. Turn it upside down and let it drain
for a few minutes. Then lift off the key cap of the space bar carefully, starting at one end, because
there is usually a thin metal bar underneath that clips into two hooks. Clean the cap and the base
with a cotton bud and a little isopropyl alcohol. Let everything dry for a day before plugging it in.
User: There was sugar in the coffee. Does that matter?
Assistant: Yes. Alcohol does not dissolve sugar well. Use warm water on the bud first, sparingly, and
alcohol afterwards to drive the water out.

用户：我下周要去成都出差三天，只有最后一天下午有空，有什么建议？
助手：半天时间不适合跑远。可以先去武侯祠旁边的小街走一走，再到人民公园喝盖碗茶，看看当地人怎么过下午。晚饭找一家
离住处近的火锅店，微辣就够了。如果第二天一早的航班，别吃得太晚。
用户：我不太能吃辣。
助手：那就点鸳鸯锅，或者改吃串串里的清汤。甜水面和赖汤圆也不辣，可以当点心。

User: Reply with JSON only: the city and the number of days of the trip above.
Assistant: {"city": "成都", "days": 3}
User: And in one English sentence?
Assistant: The trip goes to Chengdu and lasts three days, with only the last afternoon free.
)";

}  // namespace

EvaluationData BuiltInEvaluationData() {
  EvaluationData data{"built-in text 1", {}, {}};
  for (const char* text : {kEnglishHarbour, kChineseProse, kCode, kMathematics, kEnglishScience,
                           kChineseScience, kJson, kDialogue}) {
    data.texts.push_back({text, false});
  }
  return data;
}

}  // namespace hadal
