package android.graphics

import java.io.InputStream
import javax.imageio.ImageIO

class Bitmap(
    val width: Int,
    val height: Int,
    val config: Config?,
    private val pixels: IntArray,
) {
    enum class Config { ARGB_8888, HARDWARE }

    init {
        require(pixels.size == width * height)
    }

    fun copy(config: Config, isMutable: Boolean): Bitmap? = Bitmap(width, height, config, pixels)

    // As on a phone: pixels of a hardware bitmap cannot be read.
    fun getPixels(into: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(config == Config.ARGB_8888) { "unable to getPixels() of $config" }
        for (row in 0 until height) {
            for (column in 0 until width) {
                into[offset + row * stride + column] = pixels[(y + row) * this.width + x + column]
            }
        }
    }

    private fun halved() = Bitmap(width / 2, height / 2, config, IntArray(width * height / 4) { i ->
        val corner = i / (width / 2) * 2 * width + i % (width / 2) * 2
        val four = listOf(0, 1, width, width + 1).map { pixels[corner + it] }
        listOf(24, 16, 8, 0).fold(0) { color, shift ->
            val mean = (four.sumOf { it ushr shift and 0xFF } + 2) / 4
            color or (mean shl shift)
        }
    })

    companion object {
        // Bilinear, which is the mean of four pixels where both sides are halved.
        fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            check(filter)
            if (width == source.width && height == source.height) return source
            check(2 * width == source.width && 2 * height == source.height) { "only halves" }
            return source.halved()
        }
    }
}

object BitmapFactory {
    fun decodeStream(stream: InputStream?): Bitmap? {
        val image = ImageIO.read(stream) ?: return null
        val (width, height) = image.width to image.height
        val raster = image.raster
        // Not getRGB, which takes grey pictures through a colour profile.
        val pixels = IntArray(width * height) { i ->
            val bands = raster.getPixel(i % width, i / width, null as IntArray?)
            val (red, green, blue) = if (bands.size == 1) List(3) { bands[0] } else bands.toList()
            255 shl 24 or (red shl 16) or (green shl 8) or blue
        }
        return Bitmap(width, height, Bitmap.Config.ARGB_8888, pixels)
    }
}
