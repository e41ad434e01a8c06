// Runs in the browser: draws the charts of the report from the data in the page.

(() => {
  const COLORS = ['#2563eb', '#e07a1f', '#15936b', '#a23bc4', '#c0392b', '#5b6470']
  const REFERENCE_COLOR = '#8a929c'
  const HEIGHT = 240
  const WIDTH_MIN = 280
  /** Widths in a histogram: of the left axis with its label, and of a tick's text below it. */
  const AXIS_WIDTH = 76
  const TICK_WIDTH = 56

  const results = JSON.parse(document.getElementById('data').textContent)

  for (const place of document.querySelectorAll('.charts')) {
    const { charts, latencies } = results[Number(place.dataset.result)]
    for (const chart of charts) lineChart(place, chart)
    for (const latency of latencies) latencyChart(place, latency)
  }

  function frame(place, title) {
    const box = document.createElement('div')
    box.className = 'chart'
    const heading = document.createElement('h3')
    heading.textContent = title
    box.append(heading)
    place.append(box)
    return box
  }

  function draw(box, options, data) {
    const width = () => Math.max(WIDTH_MIN, box.clientWidth)
    const plot = new uPlot({ width: width(), height: HEIGHT, ...options }, data, box)
    // Its width changes with the window, and when a second chart is placed beside the first.
    new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT })).observe(box)
  }

  function lineChart(place, { title, yLabel, lines }) {
    const filled = lines.filter(({ points }) => points.length > 0)
    if (filled.length === 0) return
    const tables = filled.map(({ points }) => [points.map(([x]) => x), points.map(([, y]) => y)])
    const series = filled.map(({ label, points, isReference }, index) => ({
      label, spanGaps: true, width: isReference ? 1.5 : 2,
      stroke: isReference ? REFERENCE_COLOR : COLORS[index % COLORS.length],
      dash: isReference ? [6, 5] : undefined,
      points: { show: !isReference && points.length < 30 },
      value: (_plot, value) => (value === null ? '–' : grouped(value)),
    }))
    draw(frame(place, title), {
      scales: { x: { time: false }, y: { range: (_plot, _low, high) => [0, high * 1.1 || 1] } },
      axes: [
        { label: 'seconds', labelSize: 24, size: 36 },
        { label: yLabel, labelSize: 24, size: 64,
          values: (_plot, ticks) => ticks.map((tick) => grouped(tick)) },
      ],
      series: [{ label: 'seconds', value: (_plot, value) => grouped(value) }, ...series],
    }, uPlot.join(tables))
  }

  function latencyChart(place, { label, summary }) {
    const { buckets, count } = summary
    if (buckets.length === 0) return
    const places = buckets.map((_bucket, index) => index)
    const shares = buckets.map((bucket) => (bucket.count / count) * 100)
    draw(frame(place, label), {
      scales: {
        x: { time: false, range: [-0.6, buckets.length - 0.4] },
        y: { range: (_plot, _low, high) => [0, high * 1.1 || 1] },
      },
      axes: [
        { label: 'up to', labelSize: 24, size: 36, splits: () => places,
          values: (plot, ticks) => {
            // Every n-th tick where there is no room for all.
            const step = Math.ceil((buckets.length * TICK_WIDTH) / (plot.width - AXIS_WIDTH))
            return ticks.map((tick) => (tick % step === 0 ? duration(buckets[tick].toUs) : ''))
          } },
        { label: '% of all', labelSize: 24, size: AXIS_WIDTH - 24 },
      ],
      series: [
        { label: 'up to', value: (_plot, tick) =>
          (tick === null ? '–' : duration(buckets[Math.round(tick)].toUs)) },
        { label: '% of all', stroke: COLORS[0], fill: `${COLORS[0]}55`,
          points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 60] }),
          value: (_plot, value) => (value === null ? '–' : value.toFixed(2)) },
      ],
    }, [places, shares])
  }

  function grouped(value) {
    if (value === null || value === undefined) return '–'
    return value.toLocaleString('en-US', { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 })
  }

  function duration(us) {
    if (us < 1000) return `${us} µs`
    return us < 1e6 ? `${us / 1000} ms` : `${us / 1e6} s`
  }
})()
