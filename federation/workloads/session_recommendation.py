"""Which item of a public catalogue a person takes up next: matrix factorisation whose user side never leaves home.

Federated reconstruction (Singhal et al. 2021, arXiv 2102.03448, section 4): the model holds items only. What stands for
a person is derived anew from their own history each time, in closed form, used and forgotten: there is no weight and
no file that remembers anybody. A row is a whole history, cut into what came before and what came last.

An item's embedding is its public content, stretched (``content.``, 54 numbers for tasks that must learn little), plus
free factors (``items.``, 14,000). All weights begin at zero, that is with content and fame alone, which already beats
popularity. They are in units of `STEP`, so that one learning rate suits all of them.
"""

from collections.abc import Mapping
from functools import cache

import torch

from federation.histories import gather
from federation.schema import History, Rows, RowSchema, Target
from federation.workload import Phase, Scores, Weights, Workload

GENRES = (
    *("Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "IMAX", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
CATALOGUE = """
4993/2001/102 318/1994/a0 2571/1999/18001 296/1994/100b0 858/1972/a0 5952/2002/102 2959/1999/100a1 2858/1999/4080
50/1995/12020 1196/1980/8003 7153/2003/183 2028/1998/20081 527/1993/20080 2762/1999/2480 1198/1981/3 3578/2000/83
110/1995/20081 593/1991/10420 4226/2000/12000 1721/1997/4080 356/1994/24090 2628/1999/8003 1210/1983/8003
589/1991/8001 541/1982/18001 1221/1974/a0 1193/1975/80 1617/1997/12220 1089/1992/12020 1270/1985/8012 1213/1990/a0
912/1942/4080 608/1996/100b0 1206/1971/180a0 4306/2001/411e 6874/2003/10021 924/1968/8082 1208/1979/20081
1200/1986/8403 5378/2002/8803 750/1964/20010 1214/1979/8400 5349/2002/18003 1682/1998/8090 32/1995/1a000
780/1996/18003 1291/1989/3 923/1941/2080 1704/1997/4080 6539/2003/113 1136/1975/112 3147/1999/a0 1240/1984/18001
2329/1998/a0 1036/1988/10021 480/1993/18003 6365/2003/18803 1527/1997/8013 2997/1999/190 1219/1960/420 1197/1987/4113
1580/1997/8011 4878/2001/1a080 778/1996/b0 5445/2002/1a021 1258/1980/400 1732/1998/30 457/1993/10000 111/1976/100a0
3949/2000/80 1222/1987/20080 4308/2001/5080 1784/1997/4090 1387/1975/401 4896/2001/10a 1923/1998/4010 7361/2004/c080
733/1996/10003 1/1995/11e 3160/1999/80 3793/2000/8003 1917/1998/1c001 1265/1993/4110 4011/2000/10030 4963/2001/10020
6/1995/10021 7438/2004/10081 1097/1982/8088 1407/1996/12410 3052/1999/112 1246/1989/80 4995/2001/4080 1961/1988/80
6711/2003/4090 2396/1998/4090 6377/2003/1e 4034/2000/100a0 953/1946/4188 2706/1999/4010 150/1995/882 904/1954/12000
3114/1999/11e 5502/2002/18400 8636/2004/8803 6934/2003/18803 223/1994/10 5989/2002/a0 2710/1999/10480 3081/1999/6500
4886/2001/11e 3897/2000/80 5816/2002/102 919/1939/110a 4027/2000/32 2712/1999/12080 1573/1997/100a1 2683/1999/13
1225/1984/80 4720/2001/12480 5669/2002/40 1584/1997/8080 2617/1999/10513 3623/2000/10003 592/1989/10021 3994/2000/8080
908/1959/16003 1090/1986/20080 5991/2002/10b0 2115/1984/103 5956/2002/a0 8622/2004/40 1393/1996/4080 4022/2000/80
1997/1973/2400 7318/2004/80 7458/2004/20083 903/1958/16080 1517/1997/13 648/1996/12003 4310/2001/24081 377/1994/14001
364/1994/188e 1676/1997/8001 5010/2001/20081 1101/1986/4001 1639/1997/4090 2918/1986/10 6537/2003/8003 7143/2003/20083
2194/1987/a1 7147/2003/4180 2890/1999/20093 4975/2001/1e000 1204/1962/20082 4979/2001/90 380/1994/14013
1266/1992/40080 1259/1986/82 3948/2000/10 8961/2004/1f 1199/1985/8100 5679/2002/12400 5464/2002/a0 5995/2002/20080
1207/1962/80 5418/2002/12001 2716/1984/8011 3481/2000/4090 3753/2000/20081 1203/1957/80 6870/2003/20a0 1220/1980/1011
1233/1981/20081 1729/1997/100a0 4148/2001/10400 920/1939/24080 3006/1999/10080 4643/2001/8083 590/1990/40082
2011/1989/8012 70/1996/10411 1562/1997/10103 736/1996/14003 4262/1983/a1 1263/1978/20080 1625/1997/12080
1544/1997/18003 231/1994/12 1247/1967/4090 1673/1997/80 1391/1996/8011 2671/1999/4010 8360/2004/501e 16/1995/a0
2291/1990/4180 1228/1980/80 253/1994/480 1610/1990/10003 1552/1997/10003 2916/1990/18003 3386/1991/12080
3471/1977/8082 1608/1997/10001 2502/1999/30 1653/1997/18080 3176/1999/12080 555/1993/10020 8783/2004/12080
3977/2000/11 1252/1974/12220 595/1991/590c 2427/1998/20081 2541/1999/80 288/1994/10021 910/1959/30 165/1995/10021
3527/1987/18001 2268/1992/100a0 1183/1996/24080 5902/2002/4090 3751/2000/1c 1356/1996/18003 1079/1988/30 8368/2004/902
3755/2000/10080 4246/2001/4090 2012/1990/48012 2539/1999/10 8798/2004/100a1 1307/1989/4010 2167/1998/10401
1690/1997/8401 5266/2002/10000 3408/2000/80 1968/1985/90 4734/2001/12 3082/1999/10003 6502/2002/8401 153/1995/33
6373/2003/4190 8784/2004/4090 8361/2004/18083 1234/1973/30 4270/2001/10013 1748/1998/18202 32587/2005/12221
2791/1980/10 597/1990/4010 3785/2000/410 5945/2002/90 2353/1998/10001 2355/1998/1e 1377/1992/21 10/1995/10003
1370/1990/10003 1485/1997/10 1954/1976/80 5481/2002/10 180/1995/4010 4776/2001/100a0 4718/2001/10 1882/1998/18001
1876/1998/18080 235/1994/90 2321/1998/190 588/1992/101e 1250/1957/20082 2023/1990/120a0 3175/1999/8012 8644/2004/18003
5218/2002/1e 1278/1974/110 5388/2002/120a1 1380/1978/5010 2395/1998/90 5872/2002/10003 1215/1993/513 1641/1997/90
1127/1989/18003 2278/1998/10021 6942/2003/4090 1242/1989/20080 4367/2001/3 6953/2003/160a0 5299/2002/4010 586/1990/18
3535/2000/12420 5459/2002/8011 367/1994/131 1717/1997/12410 1884/1998/92 1230/1977/4010 2987/1988/213e 4369/2001/10021
6947/2003/20082 3752/2000/12 1302/1989/188 5630/2002/12020 6281/2002/10080 1287/1959/83 2174/1988/110 6534/2003/8003
344/1994/10 4638/2001/18003 2580/1999/30 6157/2003/21 1035/1965/5000 899/1952/5010 3798/2000/2480 1288/1984/10
2529/1968/8081 4344/2001/a1 1500/1997/4030 1358/1996/80 353/1994/10121 1027/1991/82 30707/2004/80 1304/1969/40001
4018/2000/4010 1262/1963/20083 1333/1963/10400 3033/1987/8010 2424/1998/4010 2000/1987/b1 4014/2000/4080 1466/1997/a0
1394/1987/10 1339/1992/14500 8665/2004/10021 3174/1999/90 7454/2004/503 2947/1964/10003 500/1993/90 2804/1983/18
551/1993/110c 3173/1999/80 1092/1992/12020 1777/1998/4010 913/1941/2200 1921/1998/18080 1722/1997/10003 3489/1991/112
208/1995/8003 1227/1984/a0 1982/1978/400 539/1993/4090 4223/2001/20080 2058/1998/120a1 2572/1999/4010 2701/1999/48011
587/1990/14190 5219/2002/18401 3148/1999/80 2005/1985/11b 1912/1998/140b0 2076/1986/12080 6323/2003/12420
8874/2004/410 4239/2001/a0 2797/1988/4190 2605/1999/10020 2505/1999/12080 3300/2000/18400 5507/2002/10021 6378/2003/21
1212/1949/12200 2273/1998/10031 5377/2002/4090 4816/2001/10 2694/1999/10 2490/1999/10001 3113/1999/12501
2006/1998/4011 5673/2002/4090 1275/1986/103 3418/1991/a2 25/1995/4080 163/1995/44001 5810/2002/80 1061/1996/10000
508/1993/80 357/1994/4010 3005/1999/10000 1918/1998/10031 104/1996/10 8970/2004/80 832/1996/10020 3301/2000/30
1805/1998/120a0 2722/1999/18401 3421/1978/10 5903/2002/18001 4447/2001/4010 3556/1999/4080 8376/2004/10 2599/1999/10
316/1994/8003 2640/1978/8003 4865/2001/12420 4874/2001/a180 2763/1999/2001 8957/2004/12400 2707/1999/10000
3671/1974/40010 5254/2002/10401 5528/2002/10080 2728/1960/24081 2288/1982/18401 8949/2004/4090 4881/2001/a0 34/1995/88
2021/1984/8002 5013/2001/2090 2340/1998/4000 2657/1975/9410 4901/2001/100a1 3967/2000/80 5992/2002/4080 3253/1992/10
1569/1997/4010 553/1993/40081 4701/2001/11 39/1995/4010 3409/2000/10080 1073/1971/1118 4446/2001/8106 1747/1997/10
2313/1980/80 3186/1999/80 4085/1984/b1 337/1993/80 2294/1998/11e 3252/1992/80 3355/1999/12500 7360/2004/10481
784/1996/10010 4025/2000/30 30812/2004/80 2232/1997/1a400 36/1995/a0 3826/2000/18400 922/1950/4280 3863/2000/10480
4448/2001/81 3617/2000/10 2985/1987/180a1 1464/1997/63a0 1644/1997/12400 1293/1982/80 5400/2002/10080 1060/1996/90
8529/2004/4090 3555/2000/30001 5954/2002/a0 1261/1987/511 7162/2003/24080 3910/2000/1080 3317/2000/90 6541/2003/8101
1343/1991/10000 805/1996/10080 7373/2004/503 2335/1998/10 1590/1997/18400 1597/1997/16080 3273/2000/12410
2391/1998/100a0 1835/1998/4180 145/1995/100b1 3510/2000/10080 1408/1992/64001 485/1993/113 1831/1998/8003 19/1995/10
2761/1999/808e 442/1993/8003 4235/2000/10080 2003/1984/410 5015/2001/4080 3285/2000/82 3354/2000/8000 5957/2002/4010
4299/2001/4011 2770/1999/10 2001/1989/b1 1148/1993/3c 3362/1975/a0 5152/2002/20081 1282/1940/110c 2/1995/10a
1274/1988/8007 5060/1970/20090 21/1995/10030 8984/2004/10031 2600/1999/18001 2336/1998/80 6709/2003/10023
454/1993/10080 2966/1999/82 8810/2004/18401
"""
"""Number/year/genres of 500 films, the genres as hexadecimal bits in the order of `GENRES`, most famous film first.

The numbers, years and genres are MovieLens' public catalogue. Which films, and their order, is by votes on IMDb in 2005
(package ggplot2movies): nothing here was counted on the people who train. An app would list its own sessions.
"""
ITEMS = tuple(CATALOGUE.split())

SCHEMA = RowSchema(
    columns=(),
    target=Target("item", "", classes=tuple(item.split("/")[0] for item in ITEMS)),
    history=History(least=5, newest=0.2),
)
ERAS = (1940.0, 1960.0, 1975.0, 1985.0, 1992.0, 1997.0, 2002.0)
ERA_YEARS = 8.0
FEATURES = len(GENRES) + len(ERAS) + 1
FAME_POWER, FAME_RANK = 0.6, 20.0
"""How often the film of public rank r is seen: about (r + 20) to the power of -0.6."""

STRETCH = 0.2
"""How much content counts before anything was learned."""
STEP = {"content.scale": 0.1, "content.bias": 0.3, "items.factors": 3.0, "items.bias": 5.0}
REACH, PRIOR_ITEMS = 5.0, 1.0
"""Length of the step that derives a person, and how many items' worth of doubt slow it down."""

TOP = 10
SHORTEST, LONGEST = 8, 60
"""Different items in the histories of synthetic people."""
EXCLUDED = 1e4
"""Taken off the logits of items that the person knows: they are not candidates."""


def initial(seed: int) -> dict[str, torch.Tensor]:
    """All zero: public content and fame. Nothing is drawn; `seed` changes nothing."""
    del seed
    return {
        "content.scale": torch.zeros(FEATURES),
        "content.bias": torch.zeros(FEATURES),
        "items.factors": torch.zeros(len(ITEMS), FEATURES),
        "items.bias": torch.zeros(len(ITEMS)),
    }


@cache
@torch.inference_mode(mode=False)  # it is kept, and must serve in training whoever asked first
def content() -> torch.Tensor:
    """What is publicly known of each item, each column with mean 0 and spread 1, (items, features)."""
    year = torch.tensor([[float(item.split("/")[1])] for item in ITEMS])
    bits = torch.tensor([[int(item.split("/")[2], 16)] for item in ITEMS])
    genres = (bits >> torch.arange(len(GENRES))) & 1
    eras = torch.exp(-(((year - torch.tensor(ERAS)) / ERA_YEARS) ** 2) / 2)
    table = torch.cat([genres.float(), eras, fame()[:, None]], dim=1)
    return (table - table.mean(0)) / table.std(0).clamp(min=0.1)


def fame() -> torch.Tensor:
    """Log of how often an item is taken up, up to a constant, from its public rank alone, (items,)."""
    return -FAME_POWER * torch.log(torch.arange(len(ITEMS)) + FAME_RANK)


def embeddings(weights: Weights) -> tuple[torch.Tensor, torch.Tensor]:
    """Item embeddings (items, features) and biases (items,)."""
    known = content().to(weights["items.bias"].device)
    stretch = STRETCH + STEP["content.scale"] * weights["content.scale"]
    bias = fame().to(known.device) + known @ (STEP["content.bias"] * weights["content.bias"])
    factors = known * stretch + STEP["items.factors"] * weights["items.factors"]
    return factors, bias + STEP["items.bias"] * weights["items.bias"]


def logits(weights: Weights, history: torch.Tensor) -> torch.Tensor:
    """How likely each item is to come next, known ones excluded, (rows, items) -> (rows, items)."""
    factors, bias = embeddings(weights)
    return bias + person(factors, bias, history) @ factors.T - EXCLUDED * history


def person(factors: torch.Tensor, bias: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
    """What stands for a person, from their history, (rows, items) -> (rows, features).

    One gradient step from zero on the log-likelihood of the history under the same softmax, shortened for short
    histories: the mean embedding of the history less that of everybody's (Singhal et al. 2021, algorithm 1, k = 1).
    """
    expected = torch.softmax(bias, dim=-1) @ factors
    items = history.sum(-1, keepdim=True)
    return REACH * (history @ factors - items * expected) / (items + PRIOR_ITEMS)


def _loss(weights: Weights, fields: Mapping[str, torch.Tensor], seed: int) -> torch.Tensor:
    """Cross-entropy per row of the half of a person's items that the other half is asked to foretell.

    Which half is a hash of the seed and the row's own items: no row depends on another.
    """
    own = fields["x"] + fields["y"]
    wanted = own * _half(own, seed)
    likelihood = torch.log_softmax(logits(weights, own - wanted), dim=-1)
    return -(likelihood * wanted).sum(-1) / wanted.sum(-1).clamp(min=1)


def _half(own: torch.Tensor, seed: int) -> torch.Tensor:
    """Zeros and ones, (rows, items), by multiplying and shifting whole numbers: batching cannot change a bit."""
    place = torch.arange(own.shape[-1], device=own.device)
    key = ((own.detach() > 0) * (place * 7919 + 13)).sum(-1, keepdim=True)
    state = (key * 40503 + place * 65599 + seed % 2**31) & 0x7FFFFFFF
    for factor, shift in ((0x45D9F3B, 16), (0x45D9F3B, 15), (1, 16)):
        state = ((state ^ (state >> shift)) * factor) & 0x7FFFFFFF
    return ((state >> 7) & 1).to(own.dtype)


def scores(weights: Weights, rows: Rows) -> dict[str, float]:
    """Sums over rows, see `judged`."""
    with torch.no_grad():
        return judged(logits(weights, rows.fields["x"]), rows.fields["y"])


def judged(found: torch.Tensor, wanted: torch.Tensor) -> dict[str, float]:
    """Recall and NDCG of the ten best items against those that came last, and the cross-entropy, as sums over rows.

    Recall is over the ten that can be hit at most (Liang et al. 2018, section 4.2). `found`: logits (rows, items).
    """
    hits = wanted.gather(-1, found.topk(TOP).indices)
    discount = 1 / torch.log2(torch.arange(TOP, device=hits.device) + 2.0)
    reachable = wanted.sum(-1).clamp(max=TOP)
    ideal = torch.cumsum(discount, 0)[reachable.long() - 1]
    loss = -(torch.log_softmax(found, dim=-1) * wanted).sum(-1) / wanted.sum(-1)
    return {
        "rows": float(len(wanted)),
        "recall": float((hits.sum(-1) / reachable).sum()),
        "ndcg": float(((hits @ discount) / ideal).sum()),
        "loss": float(loss.sum()),
    }


def summary(sums: Scores) -> dict[str, float]:
    """Mean recall and NDCG at 10; mean cross-entropy where it was told."""
    rows = max(sums.get("rows", 0.0), 1.0)
    figures = {f"{name}_at_{TOP}": sums.get(name, 0.0) / rows for name in ("recall", "ndcg")}
    return figures | ({"loss": sums["loss"] / rows} if "loss" in sums else {})


def invent(seed: int, people: int, rows_per_person: int) -> Rows:
    """Synthetic people with a taste for some content, who take up so many items by fame and taste, in any order."""
    source = torch.Generator().manual_seed(seed)
    taste = 0.4 * torch.randn(people, FEATURES, generator=source)
    owner = torch.arange(people).repeat_interleave(rows_per_person)
    liking = fame() + (taste @ content().T)[owner]
    luck = -torch.log(-torch.log(torch.rand(liking.shape, generator=source).clamp(1e-9, 1 - 1e-6)))
    taken = (liking + luck).topk(LONGEST).indices
    items = (SHORTEST * (LONGEST / SHORTEST) ** torch.rand(len(owner), 1, generator=source)).long()
    time = torch.rand(taken.shape, generator=source).masked_fill(torch.arange(LONGEST) >= items, torch.inf).argsort(-1)
    line = torch.arange(LONGEST) < items
    row = torch.arange(len(owner))[:, None].expand_as(line)[line]
    rows = gather(row.numpy(), taken.gather(-1, time)[line].numpy(), SCHEMA)
    return Rows({"x": torch.from_numpy(rows.x), "y": torch.from_numpy(rows.y)}, owner)


WORKLOAD = Workload(
    name="session_recommendation",
    version=1,
    title="Recommend what a person takes up next; what stands for a person stays home",
    schema=SCHEMA,
    phases=(Phase("factorise", reads_people=True, trains=("content.", "items."), loss=_loss),),
    initial=initial,
    scores=scores,
    person_scores=("recall", "ndcg"),
    summary=summary,
    headline="recall_at_10",
    higher_is_better=True,
    invent=invent,
)
